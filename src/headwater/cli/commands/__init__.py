"""The commands, by subject; each reads options, calls, and prints."""
