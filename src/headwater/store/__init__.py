"""Layer 1: databases, transactions, the change log, records and content; the only layer that writes synced rows."""
