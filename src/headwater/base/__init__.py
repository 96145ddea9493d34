"""Layer 0: errors, ids, clock, settings, wire forms and logs; imports no other layer."""
