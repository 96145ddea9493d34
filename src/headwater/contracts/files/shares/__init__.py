"""Shares and their members."""
