"""Commands about the running server and its settings."""
