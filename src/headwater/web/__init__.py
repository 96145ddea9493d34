"""Layer 3: HTTP for all doors: routes, callers, requests, replies, limits and errors."""
