"""The changes of shares, by cursor."""
