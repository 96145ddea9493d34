"""Content by hash: packs, the chunks in them, where packs are kept, and gc."""
