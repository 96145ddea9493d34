"""Layer 3: opens, checks, backs up and restores one installation; knows no HTTP."""
