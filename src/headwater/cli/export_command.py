"""``headwater export``: what can be written out."""

from __future__ import annotations

from headwater.cli.contacts import export_app as app

__all__ = ["app"]
