"""The table of settings: every field with its type, default, range, unit and one sentence.

This file is the only declaration. `headwater.base.settings.load` fills the table from its sources, and
`docs/settings.md` is generated from it. To add a setting, add one field here and run `make docs`.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from headwater.base.settings.field import GIB, KIB, MIB, Section, count, described, duration, size

DAY_SECONDS = 86_400

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ServerSettings(Section, frozen=True, kw_only=True):
    """The server's address, and the lifetime of its connections."""

    host: Annotated[
        str, described("Address that the server binds.", "an IP address or a host name", pattern=r"^[^\s/]+$")
    ] = "127.0.0.1"
    port: Annotated[int, count("TCP port; 0 lets the system choose one.", "", 0, 65_535)] = 8484
    public_url: (
        Annotated[
            str,
            described(
                "Address that clients use, when a proxy is in front of the server.",
                "`http://` or `https://` with a host, and a path where the proxy puts the server below one",
                pattern=r"^https?://[^\s/?#@]+(/[A-Za-z0-9._~/-]*)?$",
            ),
        ]
        | None
    ) = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        described("Proxies whose forwarded headers are trusted.", "IP addresses or networks"),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        described(
            "Host names that requests may carry; empty means the loopback names, `host` and the host of `public_url`.",
            "host names without a port",
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        described(
            "Origins whose web pages may call this server with a token; empty means none.",
            "`https://` or `http://` with a host and no path, or `*` for every origin",
        ),
    ] = ()
    keep_alive_seconds: Annotated[
        int, duration("How long an idle connection stays open for its next request.", 1, 3600)
    ] = 75
    shutdown_seconds: Annotated[int, duration("How long a stopping server waits for requests in flight.", 0, 3600)] = 10


class AccessSettings(Section, frozen=True, kw_only=True):
    """Access without a token, and creation on first use."""

    public_access: Annotated[
        Literal["loopback", "on", "off"],
        described(
            "Whether the public doors (contacts, cache) answer without a token; `loopback`: only people of this"
            " machine, on a loopback bind, while neither `server.public_url` nor `server.trusted_proxies` is set."
        ),
    ] = "loopback"
    provisioning: (
        Annotated[
            Literal["open", "closed"],
            described(
                "Whether an unknown organisation or chapter is created on first use; unset: open on a loopback bind."
            ),
        ]
        | None
    ) = None
    jwt_lifetime_seconds: Annotated[int, duration("How long a short-lived JWT is valid.", 30, 900)] = 900


class DatabaseSettings(Section, frozen=True, kw_only=True):
    """The storage of the change log, and the way it is written."""

    data_folder: Annotated[
        str, described("Folder that holds everything the server keeps.", "a path", pattern=r"[^\s]")
    ] = "headwater-data"
    url: (
        Annotated[
            str,
            described(
                "PostgreSQL database; unset means SQLite in the data folder.",
                "`postgresql://...`",
                pattern=r"^postgres(ql)?://",
                secret=True,
            ),
        ]
        | None
    ) = None
    synchronous: Annotated[
        Literal["full", "normal"],
        described("How SQLite syncs a commit; with `normal` a power loss can lose acknowledged writes."),
    ] = "full"
    wal_limit_bytes: Annotated[int, size("Size of SQLite's WAL at which the writer truncates it.", MIB, 4 * GIB)] = (
        64 * MIB
    )
    writer_batch_requests: Annotated[
        int, count("Most requests whose writes share one commit.", "requests", 1, 10_000)
    ] = 256
    writer_queue_requests: Annotated[
        int, count("Most writes that wait; beyond it the server answers 503.", "requests", 1, 1_000_000)
    ] = 4096
    reserve_file_bytes: Annotated[
        int, size("Size of the file that is freed first when the disk is full; 0 means none.", 0, 16 * GIB)
    ] = 64 * MIB
    read_threads: Annotated[int, count("Threads that read the database.", "threads", 1, 64)] = 4
    statement_seconds: Annotated[int, duration("How long one statement may run.", 1, 3600)] = 30
    transaction_seconds: Annotated[
        int,
        duration(
            "How long a writing transaction may hold its locks on PostgreSQL; then a process that was stopped in the"
            " middle of it no longer blocks the others.",
            1,
            3600,
        ),
    ] = 20


class LimitSettings(Section, frozen=True, kw_only=True):
    """Limits of one request, one token and one address."""

    body_bytes: Annotated[int, size("Largest request body.", KIB, GIB)] = MIB
    cache_body_bytes: Annotated[int, size("Largest body of a cache sync.", KIB, GIB)] = 16 * MIB
    cache_rows: Annotated[int, count("Most contacts and notes in one cache sync.", "rows", 1, 1_000_000)] = 50_000
    header_bytes: Annotated[int, size("Largest request head: line and headers.", KIB, MIB)] = 16 * KIB
    in_flight_requests: Annotated[
        int,
        count("Most requests that are handled at once; further ones wait for `gate_seconds`.", "requests", 1, 100_000),
    ] = 256
    caller_share_percent: Annotated[
        int,
        count(
            "Part of the places of each kind (requests, bodies, uploads, answers, waits, sockets) that one token may"
            " have, or one address without a token, while others are free; 100 lets one caller have all.",
            "percent",
            1,
            100,
        ),
    ] = 25
    gate_seconds: Annotated[
        int, duration("How long a request waits for a place; then the server answers 503.", 0, 300)
    ] = 10
    waiting_requests: Annotated[
        int,
        count(
            "Most requests that wait for changes or for a place; beyond it the server answers 503.",
            "requests",
            0,
            1_000_000,
        ),
    ] = 4096
    bodies_at_once: Annotated[
        int, count("Most bodies that are arriving; each MiB that one announces counts as one.", "bodies", 1, 100_000)
    ] = 256
    answers_at_once: Annotated[
        int,
        count(
            "Most answers over 64 KiB that are being read; each MiB that one has in memory counts as one.",
            "answers",
            1,
            100_000,
        ),
    ] = 512
    body_seconds_base: Annotated[int, duration("Time that every body gets to arrive.", 1, 3600)] = 10
    body_bytes_per_second: Annotated[
        int,
        count("Slowest rate at which a body may arrive, after the base time.", "bytes per second", KIB, GIB),
    ] = 64 * KIB
    json_depth: Annotated[int, count("Deepest nesting of JSON in a request.", "levels", 4, 256)] = 32
    rate_token_per_second: Annotated[
        int, count("Requests that one token may send, in the long run.", "requests per second", 1, 1_000_000)
    ] = 1000
    rate_token_burst: Annotated[
        int, count("Requests that one token may send at once after a pause.", "requests", 1, 10_000_000)
    ] = 5000
    rate_address_per_second: Annotated[
        int,
        count(
            "Requests that one address may send without a valid token, in the long run.",
            "requests per second",
            1,
            1_000_000,
        ),
    ] = 200
    rate_address_burst: Annotated[
        int,
        count("Requests that one address may send at once without a valid token.", "requests", 1, 10_000_000),
    ] = 1000


class SellSettings(Section, frozen=True, kw_only=True):
    """The sell door."""

    page_items: Annotated[int, count("Most items in one page of a queue.", "items", 1, 1000)] = 100
    session_idle_seconds: Annotated[int, duration("How long a session lives without a request.", 60, DAY_SECONDS)] = (
        3600
    )
    sessions_per_account: Annotated[int, count("Most live sessions of one account.", "sessions", 1, 10_000)] = 100
    resource_types: Annotated[
        tuple[Literal["contact", "note"], ...],
        described("Record types that devices receive.", "any of `contact`, `note`"),
    ] = ("contact", "note")


class TerminologySettings(Section, frozen=True, kw_only=True):
    """The terminology door and its upstreams."""

    ttl_seconds: Annotated[
        int,
        duration("How long labels stay fresh when their record sets no time of its own.", 1, 30 * DAY_SECONDS),
    ] = 43_200
    upstream_seconds: Annotated[int, duration("How long a fetch from an upstream may take.", 1, 300)] = 10
    upstream_bytes: Annotated[int, size("Largest answer of an upstream.", KIB, 256 * MIB)] = 4 * MIB
    retry_base_seconds: Annotated[
        int, duration("Wait after the first failed fetch; each further failure doubles it.", 1, 3600)
    ] = 5
    retry_max_seconds: Annotated[int, duration("Longest wait between two tries.", 1, DAY_SECONDS)] = 900
    allowed_hosts: Annotated[
        tuple[str, ...],
        described(
            "Host names that an upstream may have; empty means that no upstream is fetched.",
            "host names without a port",
        ),
    ] = ()


class FeedSettings(Section, frozen=True, kw_only=True):
    """Reading and compaction of the change log."""

    page_changes: Annotated[int, count("Most changes in one page.", "changes", 1, 5000)] = 5000
    runs_bytes: Annotated[
        int,
        size("Memory that caches the present state for devices in their first sync; 0 caches nothing.", 0, 4 * GIB),
    ] = 32 * MIB
    wait_seconds_max: Annotated[int, duration("Longest wait of a long poll; 0 turns long polls off.", 0, 60)] = 60
    retention_seconds: Annotated[
        int, duration("How long changes and tombstones are kept before compaction.", 3600, 3650 * DAY_SECONDS)
    ] = 90 * DAY_SECONDS
    retention_min_seconds: Annotated[
        int,
        duration(
            "How long changes that every active device has read are kept; at most `retention_seconds`.",
            3600,
            3650 * DAY_SECONDS,
        ),
    ] = 30 * DAY_SECONDS
    compact_every_seconds: Annotated[int, duration("Time between two compactions.", 1, 30 * DAY_SECONDS)] = 3600


class FileSettings(Section, frozen=True, kw_only=True):
    """Uploads, chunks, packs and quotas."""

    upload_idle_seconds: Annotated[
        int, duration("How long an unfinished upload lives without a request.", 60, 30 * DAY_SECONDS)
    ] = DAY_SECONDS
    file_bytes: Annotated[int, size("Largest file.", MIB, 2**50)] = 64 * GIB
    uploads_at_once: Annotated[
        int,
        count(
            "Most bodies that are being cut into chunks; others wait for `limits.gate_seconds`.", "requests", 1, 1000
        ),
    ] = 64
    packed_bytes: Annotated[int, size("Largest packed upload.", MIB, 16 * GIB)] = 256 * MIB
    packed_files: Annotated[
        int, count("Most files in one packed upload or one batch download.", "files", 1, 100_000)
    ] = 10_000
    chunk_min_bytes: Annotated[int, size("Smallest chunk that content is cut into.", 4 * KIB, MIB)] = 256 * KIB
    chunk_avg_bytes: Annotated[int, size("Chunk size that cutting aims at.", 4 * KIB, 4 * MIB)] = MIB
    chunk_max_bytes: Annotated[int, size("Largest chunk that content is cut into.", 4 * KIB, 16 * MIB)] = 4 * MIB
    pack_store: (
        Annotated[
            str,
            described(
                "Object store for packs; unset means the folder `packs` in the data folder.",
                "`s3://bucket/prefix`, without credentials",
                pattern=r"^s3://[^\s/?#@]+(/[^\s?#@]*)?$",
            ),
        ]
        | None
    ) = None
    quota_organisation_bytes: (
        Annotated[int, size("Most bytes that one organisation may keep; unset means no limit.", 0, 2**60)] | None
    ) = None
    quota_share_bytes: (
        Annotated[int, size("Most bytes that one share may keep; unset means no limit.", 0, 2**60)] | None
    ) = None
    gc_grace_seconds: Annotated[
        int, duration("Age that an unused pack must reach before it is removed.", 60, 365 * DAY_SECONDS)
    ] = 2 * DAY_SECONDS
    gc_every_seconds: Annotated[
        int,
        duration(
            "Time between two runs of gc by the server; 0 leaves gc to the command 'headwater gc'.",
            0,
            365 * DAY_SECONDS,
        ),
    ] = DAY_SECONDS
    keep_deleted_shares_seconds: Annotated[
        int,
        duration(
            "How long the content of a deleted share is kept before it is removed for good; 0 keeps it for ever.",
            0,
            3650 * DAY_SECONDS,
        ),
    ] = 30 * DAY_SECONDS
    keep_trash_seconds: Annotated[
        int,
        duration(
            "How long files and folders lie in the trash before they are removed for good; 0 keeps them for ever.",
            0,
            3650 * DAY_SECONDS,
        ),
    ] = 0

    keep_versions: Annotated[
        int,
        count(
            "Last versions of each file that are kept, the current one included; older ones are removed for good. 0"
            " keeps all, unless keep_versions_seconds is set.",
            "versions", 0, 1_000_000,
        ),
    ] = 0  # fmt: skip
    keep_versions_seconds: Annotated[
        int,
        duration(
            "Versions younger than this are kept, whatever keep_versions says; older ones are removed for good, but for"
            " the current one. 0 keeps none for its age.",
            0,
            3650 * DAY_SECONDS,
        ),
    ] = 0


class SocketSettings(Section, frozen=True, kw_only=True):
    """WebSockets that notify devices of changes (nudges)."""

    limit: Annotated[int, count("Most open sockets.", "sockets", 0, 1_000_000)] = 1000
    token_limit: Annotated[int, count("Most open sockets of one token.", "sockets", 0, 1_000_000)] = 100
    send_seconds: Annotated[int, duration("How long a slow reader may block before its socket is closed.", 1, 300)] = 5
    frame_bytes: Annotated[int, size("Largest frame that a client may send.", 128, MIB)] = 4096
    nudges_per_second: Annotated[
        int, count("Most nudges to one socket; further ones are merged.", "frames per second", 1, 1000)
    ] = 4


class IdempotencySettings(Section, frozen=True, kw_only=True):
    """Stored answers for repeated requests."""

    keep_seconds: Annotated[
        int, duration("How long an answer is stored for the same Idempotency-Key.", 60, 30 * DAY_SECONDS)
    ] = DAY_SECONDS


class LogSettings(Section, frozen=True, kw_only=True):
    """Log lines on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], described("Lowest level of line that is written.")
    ] = "info"
    format: (
        Annotated[
            Literal["console", "json"],
            described("Form of a line; unset means console on a terminal, else JSON."),
        ]
        | None
    ) = None


class Settings(Section, frozen=True, kw_only=True):
    """Every setting of the server; frozen, and passed as an argument instead of read from a global."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    database: DatabaseSettings = DatabaseSettings()
    limits: LimitSettings = LimitSettings()
    sell: SellSettings = SellSettings()
    terminology: TerminologySettings = TerminologySettings()
    feed: FeedSettings = FeedSettings()
    files: FileSettings = FileSettings()
    sockets: SocketSettings = SocketSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    log: LogSettings = LogSettings()

    @property
    def is_loopback_bind(self) -> bool:
        """True when the server is reachable only from its own machine."""
        return is_loopback(self.server.host)

    @property
    def answers_without_token(self) -> bool:
        """True when the public doors answer a caller who has no token.

        Source: `public_access` in docs/contracts, common rules.
        """
        access = self.access.public_access
        return access == "on" or (access == "loopback" and self.is_loopback_bind and not self.is_proxied)

    @property
    def is_proxied(self) -> bool:
        """True when a setting shows that a proxy is in front of the server."""
        return self.server.public_url is not None or bool(self.server.trusted_proxies)

    @property
    def effective_provisioning(self) -> Literal["open", "closed"]:
        """The provisioning in effect: `access.provisioning`, or else open on a loopback bind and closed elsewhere."""
        if self.access.provisioning is not None:
            return self.access.provisioning
        return "open" if self.is_loopback_bind else "closed"

    @property
    def effective_allowed_hosts(self) -> tuple[str, ...]:
        """The host names that a request may carry, in lower case, without ports and brackets."""
        if self.server.allowed_hosts:
            return tuple(host.lower().strip("[]") for host in self.server.allowed_hosts)
        names = [*LOOPBACK_NAMES, self.server.host.lower().strip("[]")]
        if self.server.public_url is not None:
            names.append(urlsplit(self.server.public_url).hostname or "")
        return tuple(dict.fromkeys(name for name in names if name))


def is_loopback(host: str) -> bool:
    """True for a loopback address and for the name `localhost`; any other name counts as reachable from outside."""
    bare = host.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
