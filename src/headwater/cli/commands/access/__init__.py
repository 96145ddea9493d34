"""Commands about who may come in: organisations, chapters, tokens, devices."""
