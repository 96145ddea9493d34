"""Layer 2: what a device may read next; cursors, pages, wake-ups, and what may be forgotten."""
