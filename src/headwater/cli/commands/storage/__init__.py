"""Commands about stored data: backup, restore, verify, gc."""
