"""The schema as numbered SQL files, one step in each."""
