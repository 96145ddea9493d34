"""Contacts from and to vCard."""
