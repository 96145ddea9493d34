"""Commands about contacts, labels and files."""
