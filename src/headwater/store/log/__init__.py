"""The change log and the rows that point into it: the only writers of synced records."""
