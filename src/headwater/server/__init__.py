"""Layer 5: one running server put together."""
