"""Layer 3: the HTTP words that all doors share."""
