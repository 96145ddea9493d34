"""The commands, by subject; each reads options, calls a lower layer, and prints."""
