"""Uploads local files into a share, in batches that are each one transaction; a file that fails, fails alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import msgspec

from headwater.base.chunking import Chunker
from headwater.base.errors import Fatal, HeadwaterError, Unavailable
from headwater.base.settings.table import FileSettings
from headwater.base.wire import encode, format_micros
from headwater.contracts.files import access, quota
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.content import has_damage
from headwater.contracts.files.names import name_key
from headwater.contracts.files.packed import writer as packed_writer
from headwater.contracts.files.packed.parser import Unpacker
from headwater.contracts.files.packed.shapes import PackedResult
from headwater.contracts.files.packed.writer import Packing
from headwater.contracts.files.paths import FolderState, FoundFolder, PathIndex
from headwater.contracts.files.uploads.ingest import commit_or_discard, sizes_of
from headwater.identity.principal import Principal
from headwater.installation.progress import Report
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import chunk_id
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor
from headwater.store.tree.versions import Piece
from headwater.store.tree.writer import TreeWriter
from headwater.transfer.local_files import FoundEntry, LocalEntry, LocalFile, RefusedEntry, SkippedEntry, Unreadable
from headwater.transfer.results import Failure, SentFile

BATCH_ENTRIES = 1000
BATCH_BYTES = 16 * 1024 * 1024
"""The most bytes of a batch; a file larger than this is alone, and is never held whole."""

PIECE_BYTES = 1024 * 1024
EXAMPLES_KEPT = 20
FAILURES_KEPT = 1000

_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # years 1 to 9999, as on the wire
_NO_LIMIT = 2**62


@dataclass
class Tally:
    """The results of a put, or of its dry run."""

    counts: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    failures: list[Failure] = field(default_factory=list)
    examples: list[SentFile] = field(default_factory=list)

    def fail(self, source: str, reason: str) -> None:
        """Counts an entry that failed."""
        self.counts["failed"] += 1
        if len(self.failures) < FAILURES_KEPT:
            # The system's names need not be text.
            self.failures.append(Failure(source.encode(errors="replace").decode(), reason))

    def send(self, effect: str, entry: LocalEntry) -> None:
        """Counts a file that was uploaded, or would be."""
        self.counts[effect] += 1
        self.sent_bytes += entry.size_bytes
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(SentFile(effect, entry.path, entry.size_bytes))


class PutTarget(NamedTuple):
    """The share that files go into, and the caller who puts them into it."""

    database: Database
    packs: PackBackend
    settings: FileSettings
    principal: Principal
    row: ShareRow


class Occupant(NamedTuple):
    """The node of a share at the path of an entry: ``nothing``, a ``file``, a ``folder``.

    ``blocked``: a file has the name of a folder above it.
    """

    kind: str
    content_hash: str = ""
    size_bytes: int = -1


class FolderUpload:
    """One put, batch by batch."""

    def __init__(self, target: PutTarget, report: Report, total_bytes: int, *, dry_run: bool) -> None:
        self.tally = Tally()
        self._target = target
        self._dry_run = dry_run
        self._bar = report
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._sizes = sizes_of(target.settings)
        self._chunker = Chunker(self._sizes)
        # A request has limits of its own; a batch is no request.
        self._unlimited = msgspec.structs.replace(target.settings, packed_bytes=_NO_LIMIT, packed_files=_NO_LIMIT)

    def run(self, found: Iterable[FoundEntry]) -> None:
        """Uploads all that was found. Raises: QuotaExceeded (the disk is full), Fatal, Unavailable."""
        row, database = self._target.row, self._target.database
        for batch in batches(self._entries(found)):
            occupants = database.read_now(lambda tx, batch=batch: existing(tx, row, batch))  # type: ignore[misc]
            end = self._done_bytes + sum(entry.size_bytes for entry in batch)
            fitting = [pair for pair in zip(batch, occupants, strict=True) if self._fits(*pair)]
            folders = [entry for entry, occupant in fitting if entry.is_folder and occupant.kind == "nothing"]
            files = [(entry, occupant) for entry, occupant in fitting if not entry.is_folder]
            if len(files) == 1 and files[0][0].size_bytes > BATCH_BYTES:
                self._bring_large(*files[0])
            else:
                self._bring_small(files, folders)
            self._report(end)

    def _entries(self, found: Iterable[FoundEntry]) -> Iterator[LocalEntry]:
        """The entries that can be uploaded; all else is counted."""
        for each in found:
            match each:
                case LocalEntry():
                    yield each
                case RefusedEntry():
                    self.tally.fail(each.source, each.reason)
                case SkippedEntry():
                    self.tally.counts["left_out"] += 1

    def _fits(self, entry: LocalEntry, occupant: Occupant) -> bool:
        """True when an entry's place and size allow its upload; else it is counted as failed."""
        wanted = "folder" if entry.is_folder else "file"
        try:
            if occupant.kind == "blocked":
                self.tally.fail(entry.source, "in the share a file has the name of a folder above it")
            elif occupant.kind not in ("nothing", wanted):
                self.tally.fail(entry.source, f"in the share a {occupant.kind} has its name")
            else:
                quota.require_size(self._target.settings, entry.size_bytes)
                return True
        except HeadwaterError as refusal:
            self.tally.fail(entry.source, refusal.detail)
        return False

    def _bring_small(self, files: Sequence[tuple[LocalEntry, Occupant]], folders: Sequence[LocalEntry]) -> None:
        """Uploads folders, and files that are held whole in memory."""
        sending: list[LocalEntry] = []
        contents: list[bytes] = []
        for entry, occupant in files:
            try:
                with LocalFile(entry) as file:
                    content = b"".join(file.pieces(BATCH_BYTES))
            except Unreadable as failure:
                self.tally.fail(entry.source, str(failure))
                continue
            if entry.size_bytes == occupant.size_bytes and self._content_hash((content,)) == occupant.content_hash:
                self.tally.counts["unchanged"] += 1
            elif self._dry_run:
                self.tally.send("created" if occupant.kind == "nothing" else "updated", entry)
            else:
                sending.append(entry)
                contents.append(content)
        if self._dry_run:
            self.tally.counts["folders_made"] += len(folders)
        elif sending or folders:
            self._send(sending, _gathered(map(_line, sending), contents), folders)

    def _bring_large(self, entry: LocalEntry, occupant: Occupant) -> None:
        """Uploads a file piece by piece."""
        begun = self._done_bytes
        try:
            if entry.size_bytes == occupant.size_bytes:
                with LocalFile(entry) as file:
                    if self._content_hash(self._reported(file.pieces(PIECE_BYTES))) == occupant.content_hash:
                        self.tally.counts["unchanged"] += 1
                        return
                self._report(begun)
            if self._dry_run:
                self.tally.send("created" if occupant.kind == "nothing" else "updated", entry)
            elif self._has_room(entry):
                with LocalFile(entry) as file:
                    self._send([entry], self._after_line(entry, file), [])
        except Unreadable as failure:
            self.tally.fail(entry.source, str(failure))

    def _has_room(self, entry: LocalEntry) -> bool:
        """True when the quotas leave room, before the content is written; else the file is counted as failed."""
        target = self._target
        try:
            target.database.write_now(
                lambda tx: quota.require_left(tx, target.row, target.settings, entry.size_bytes), feed=target.row.feed
            )
        except (Fatal, Unavailable):
            raise
        except HeadwaterError as refusal:
            self.tally.fail(entry.source, refusal.detail)
            return False
        return True

    def _send(self, files: Sequence[LocalEntry], stream: Iterable[bytes], folders: Sequence[LocalEntry]) -> None:
        """Makes content durable, then make the files and folders visible in one transaction."""
        target = self._target
        with Unpacker(target.packs, target.row.organisation, target.row.policy, self._unlimited) as unpacker:
            for piece in stream:
                unpacker.take(piece)
            arrived, written = unpacker.finish()
        actor = Actor(target.principal.user_id)
        packed = Packing(target.principal, actor, arrived, written, stage_only=False)

        def transaction(tx: Transaction) -> tuple[list[str], list[PackedResult]]:
            row = access.require(tx, target.principal, target.row.id, Access.WRITE)
            refusals = _make_folders(PathIndex(tx, row), TreeWriter(tx, row.share, actor), folders)
            return refusals, packed_writer.store(tx, row, packed, self._unlimited)

        with commit_or_discard(target.packs, written) as pending:
            refusals, results = target.database.write_now(pending.watch(transaction), feed=target.row.feed)
        self._count(files, results, folders, refusals)

    def _count(
        self,
        files: Sequence[LocalEntry],
        results: Sequence[PackedResult],
        folders: Sequence[LocalEntry],
        refusals: Sequence[str],
    ) -> None:
        for entry, result in zip(files, results, strict=True):
            if result.error is not None:
                self.tally.fail(entry.source, result.error.detail)
            elif result.status == "unchanged":
                self.tally.counts["unchanged"] += 1
            else:
                self.tally.send(result.status, entry)
        for entry, refusal in zip(folders, refusals, strict=True):
            if refusal:
                self.tally.fail(entry.source, refusal)
            else:
                self.tally.counts["folders_made"] += 1

    def _after_line(self, entry: LocalEntry, file: LocalFile) -> Iterator[bytes]:
        yield _line(entry)
        yield from self._reported(file.pieces(PIECE_BYTES))

    def _reported(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, each reported as progress."""
        for piece in pieces:
            yield piece
            self._report(self._done_bytes + len(piece))

    def _report(self, done_bytes: int) -> None:
        self._done_bytes = done_bytes
        self._bar("files", done_bytes, max(self._total_bytes, done_bytes))

    def _content_hash(self, content: Iterable[bytes]) -> str:
        """The name of a content, as it would be if the content were sent."""
        pieces: list[Piece] = []
        try:
            for part in content:
                pieces += (Piece(chunk_id(chunk), len(chunk)) for chunk in self._chunker.feed(part))
        finally:
            # Also after a failure: its rest must not precede the next content.
            pieces += (Piece(chunk_id(chunk), len(chunk)) for chunk in self._chunker.finish())
        return versions.content_hash(pieces)


def batches(entries: Iterable[LocalEntry]) -> Iterator[list[LocalEntry]]:
    """The entries in batches of bounded size, in their order; one larger than a batch is alone."""
    batch: list[LocalEntry] = []
    size_bytes = 0
    for entry in entries:
        if batch and (len(batch) >= BATCH_ENTRIES or size_bytes + entry.size_bytes > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(entry)
        size_bytes += entry.size_bytes
    if batch:
        yield batch


def existing(tx: Transaction, row: ShareRow, entries: Sequence[LocalEntry]) -> list[Occupant]:
    """The nodes that the share has at the paths of the entries."""
    index = PathIndex(tx, row)
    folders: dict[str, FoundFolder] = {}
    found = []
    for entry in entries:
        above, _, name = entry.path.rpartition("/")
        folder = folders.get(above)
        if folder is None:
            folder = folders[above] = index.living(above)
        found.append(_occupant(index, folder, name))
    return found


def _occupant(index: PathIndex, folder: FoundFolder, name: str) -> Occupant:
    if folder.state is not FolderState.LIVE:
        return Occupant("blocked" if folder.state is FolderState.NOT_A_FOLDER else "nothing")
    tx, row = index.tx, index.row
    node = nodes.child(tx, row.feed, folder.id, name_key(name, row.policy))
    if node is None:
        return Occupant("nothing")
    version = versions.find(tx, row.feed, node.version) if node.version else None
    if version is None or has_damage(tx, row, version.id):
        # Content that is damaged counts as unknown: sending it again makes it whole.
        return Occupant(node.type)
    return Occupant(node.type, version.content_hash, version.size_bytes)


def _make_folders(index: PathIndex, writer: TreeWriter, folders: Sequence[LocalEntry]) -> list[str]:
    """Creates folders, with those above them, where they are missing; for each the reason of a refusal, or nothing."""
    refusals = []
    for folder in folders:
        index.begin()
        try:
            index.tx.attempt(partial(index.make_folders, writer, folder.path))
        except HeadwaterError as refusal:
            index.undone()
            refusals.append(refusal.detail)
        else:
            refusals.append("")
    return refusals


def _line(entry: LocalEntry) -> bytes:
    """The line before a file in a packed upload."""
    fields: dict[str, object] = {"path": entry.path, "size": entry.size_bytes}
    if _FIRST_US <= entry.modified_us < _LAST_US:
        fields["modified_at"] = format_micros(entry.modified_us)
    return encode(fields) + b"\n"


def _gathered(lines: Iterable[bytes], contents: Iterable[bytes]) -> Iterator[bytes]:
    """Lines and contents in larger pieces: small ones cost less together."""
    held: list[bytes] = []
    size_bytes = 0
    for line, content in zip(lines, contents, strict=True):
        held += (line, content)
        size_bytes += len(line) + len(content)
        if size_bytes >= PIECE_BYTES:
            yield b"".join(held)
            held, size_bytes = [], 0
    if held:
        yield b"".join(held)
