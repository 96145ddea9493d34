"""Contacts from and to CSV."""
