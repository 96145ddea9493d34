"""Commands about what is kept: backup, restore, verify, gc."""
