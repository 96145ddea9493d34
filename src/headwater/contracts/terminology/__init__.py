"""Terminology: an organisation's labels, where they come from, and when they are stale."""
