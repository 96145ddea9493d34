"""An installation and its shares, as the commands' tests have it."""

from __future__ import annotations

from tests.unit.cli.conftest import bare_environment, command, installed, own_umask, share

__all__ = ["bare_environment", "command", "installed", "own_umask", "share"]
