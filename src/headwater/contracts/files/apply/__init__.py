"""Changes that a device made offline, and the conflicts that they meet."""
