"""Settings: their table, their reader, and the generator of their page."""
