"""HTTP as the RFCs define it, one topic in each module."""
