from __future__ import annotations

import pytest

from tests.support.file_share import Device, FileShare
from tests.support.server.serving import ServerUnderTest


@pytest.fixture
def share(server: ServerUnderTest) -> FileShare:
    return FileShare(server)


@pytest.fixture
def laptop(share: FileShare) -> Device:
    return share.device("laptop")
