"""Contact Detail Repository: contacts, their chapters, and how both are imported and exported."""
