"""The change log and the record rows that point into it; the only package that writes synced records."""
