"""Downloads: one file, a range, or many files in one stream."""
