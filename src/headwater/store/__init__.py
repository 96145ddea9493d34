"""Layer 1: databases, transactions, the change log, records and content; the only SQL writers of synced rows."""
