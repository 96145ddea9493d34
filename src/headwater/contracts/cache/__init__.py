"""Contact Cache Sync Repository: an organisation's offline contacts and notes, brought in batches."""
