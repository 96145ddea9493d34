"""Numbered SQL files: the schema, one step a file."""
