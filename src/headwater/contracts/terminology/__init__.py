"""Terminology: an organisation's labels, their source, and their age."""
