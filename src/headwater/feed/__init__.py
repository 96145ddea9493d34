"""Layer 2: reading of the change log by devices: cursors, pages, notifications, and compaction."""
