"""Layer 0: errors, ids, clock, settings, wire forms and logs; imports nothing of ours."""
