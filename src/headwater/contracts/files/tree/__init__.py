"""The tree of a share, changed directly: folders, moves, the trash, versions."""
