"""Uploads: sessions of chunks, and tus."""
