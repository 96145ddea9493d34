"""Layer 2: the caller, the organisation, and the caller's permissions."""
