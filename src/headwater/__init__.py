"""Headwater: one change log at the source, every device downstream."""

from __future__ import annotations

__version__ = "0.2.0.dev0"
