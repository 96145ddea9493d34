"""Receives notifications of other processes' commits from PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Collection

import psycopg

from headwater.base.log import get_log
from headwater.store.database import Moved
from headwater.store.postgres.connection import PostgresLink
from headwater.store.postgres.session import CHANNEL, heads_of

ANY_FEED = -1
"""Means every feed, after notifications may have been missed."""

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0

_log = get_log(__name__)


class Listener:
    """A thread with its own connection that reports other processes' commits; those of this process are left out."""

    def __init__(
        self,
        open_link: Callable[[], PostgresLink],
        own_pids: Callable[[], Collection[int]],
        notify: Callable[[Moved], None],
    ) -> None:
        self._open_link = open_link
        self._own_pids = own_pids
        self._notify = notify
        self._ending = threading.Event()
        self._wake, self._alarm = socket.socketpair()
        self._link: PostgresLink | None = self._listen()
        self._thread = threading.Thread(target=self._run, name="headwater-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes its connection."""
        self._ending.set()
        self._alarm.send(b"!")
        self._thread.join()
        self._wake.close()
        self._alarm.close()

    def _listen(self) -> PostgresLink:
        link = self._open_link()
        link.send(b"LISTEN " + CHANNEL.encode())
        return link

    def _run(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._ending.is_set():
            try:
                if self._link is None:
                    self._link = self._listen()
                    self._notify({ANY_FEED: 0})
                wait_seconds = _FIRST_WAIT_SECONDS
                for pid, payload in self._link.notifications(self._wake.fileno()):
                    moved = {} if pid in self._own_pids() else heads_of(payload)
                    if moved:
                        self._notify(moved)
            except psycopg.Error as failure:
                if self._ending.is_set():
                    break
                _log.warning("the database's notifications stopped; trying again", error_type=type(failure).__name__)
                if self._link is not None:
                    self._link.close()
                    self._link = None
                self._ending.wait(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
        if self._link is not None:
            self._link.close()
