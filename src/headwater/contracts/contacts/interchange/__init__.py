"""Contacts between files and the repository: CSV, vCard and JSON Lines, read and written row by row.

Nothing here knows a database or HTTP: bytes and ``ContactRow`` values go in and out.
"""
