"""``headwater import``: what can be brought in."""

from __future__ import annotations

from headwater.cli.contacts import import_app as app

__all__ = ["app"]
