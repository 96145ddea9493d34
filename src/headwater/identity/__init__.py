"""Layer 2: who is asking, for which organisation, and what they may touch."""
