"""Many small files in one upload."""
