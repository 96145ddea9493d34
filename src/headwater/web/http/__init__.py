"""HTTP as the RFCs have it: one rule in each module."""
