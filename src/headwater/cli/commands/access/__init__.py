"""Commands about access: organisations, chapters, tokens, devices."""
