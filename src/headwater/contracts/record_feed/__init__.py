"""Our own door for records: one feed of every kind, and edits made offline pushed back."""
