"""Removal for good: expired uploads, old trash, deleted shares, and unused content."""
