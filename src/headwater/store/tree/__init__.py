"""The tree of a share: its nodes and the versions of its files."""
