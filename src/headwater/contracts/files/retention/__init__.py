"""What is removed for good, and when."""
