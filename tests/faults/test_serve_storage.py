"""A server whose disk fails an fsync acknowledges nothing more, ends with its own exit code, and starts again."""

from __future__ import annotations

import signal
import urllib.error
from pathlib import Path

from tests.support.command import RunningServer, running

CONTACTS = "/api/v1/contacts"
ON_A_FAULTY_DISK = """
import signal, sys
from headwater.cli.main import main
from tests.support.store.disk import faulty_disk

with faulty_disk() as disk:
    signal.signal(signal.SIGUSR1, lambda *_: setattr(disk, "sync_fails", True))
    sys.exit(main(sys.argv[1:]))
"""


def create_until_it_fails(served: RunningServer) -> list[str]:
    """Contacts that were acknowledged before the server gave none any more."""
    kept: list[str] = []
    try:
        while True:
            kept.append(served.call("POST", CONTACTS, {"first_name": "Ada"})["contact_id"])
            if len(kept) == 3:
                served.process.send_signal(signal.SIGUSR1)
    except OSError as ended:  # an answer of 5xx, or none at all
        if isinstance(ended, urllib.error.HTTPError):
            ended.close()
    return kept


def test_a_failed_fsync_ends_the_server_with_code_70_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with running(tmp_path / "data", program=("-c", ON_A_FAULTY_DISK)) as served:
        kept = create_until_it_fails(served)
        _, err = served.process.communicate(timeout=60)
        assert served.process.returncode == 70
    assert "faulty disk" in err
    assert "Check the disk" in err
    assert "Traceback" not in err
    with running(tmp_path / "data") as again:
        found = [row["contact_id"] for row in again.call("GET", f"{CONTACTS}?limit=100")["data"]]
        assert found[: len(kept)] == kept
        assert len(found) <= len(kept) + 1  # the one whose fsync failed may be there, whole, or not
        assert again.stop()[0] == 0
