"""SQLite through apsw: the embedded database of one process."""
