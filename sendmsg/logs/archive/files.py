"""Writes and reads the files of the archive: NDJSON, compressed, each with a manifest beside it.

Promises: a file is in the index (`ArchiveFile`) only after it was read back from the storage, and its lines counted
and its SHA-256 compared; a process that is killed before leaves a file that nobody reads, and the rows are written
again. A file that has its manifest is never written over. What reads and writes holds a few lines at a time, whatever
the size of a day.

The storage is `archive` of Django's STORAGES (`ARCHIVE_URL`). While it is away, steps fail and nothing is deleted.
"""

import gzip
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils import timezone

from sendmsg import heartbeat
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.models import ArchiveFile

CHUNK: Final = 1_048_576  # bytes read at a time
LEVELS: Final = {"gzip": 6, "zstd": 10}  # beyond these a day takes twice as long for a twentieth of its size
SUFFIXES: Final = {"gzip": ".gz", "zstd": ".zst"}
ROWS_A_BEAT: Final = 100_000  # a second's work or two; a file of millions takes longer than a loop may be silent
FORMAT: Final = 1  # of lines and manifests


@dataclass(frozen=True, slots=True)
class Place:
    """What a file is about."""

    kind: ArchiveFile.Kind
    account_id: UUID
    day: date

    def name(self, part: int) -> str:
        suffix = SUFFIXES[settings.ARCHIVE_COMPRESSION]
        return f"{self.kind}/{self.account_id}/{self.day:%Y/%m}/{self.day}.{part}.ndjson{suffix}"


@dataclass(slots=True)
class _Count:
    rows: int = 0
    first: UUID = field(default_factory=lambda: UUID(int=2**128 - 1))
    last: UUID = field(default_factory=lambda: UUID(int=0))

    def lines(self, rows: Iterable[tuple[UUID, str]]) -> Iterator[bytes]:
        for message_id, line in rows:
            self.rows += 1
            self.first, self.last = min(self.first, message_id), max(self.last, message_id)
            yield line.encode() + b"\n"


def enabled() -> bool:
    """Whether there is an archive. Without one nothing leaves the databases."""
    return "archive" in settings.STORAGES


def write(place: Place, rows: Iterable[tuple[UUID, str]]) -> ArchiveFile:
    """Write pairs of a message's id and a line, one at least; the entry of the index, saved.

    The place's file that is not emptied yet is replaced. Raises `ArchiveDamaged` when what is read back differs.
    """
    files = ArchiveFile.objects.filter(kind=place.kind, account_id=place.account_id, day=place.day)
    for behind in files.filter(emptied_at=None):  # its rows are in the database still
        delete(behind)
    part = (files.order_by("part").values_list("part", flat=True).last() or 0) + 1
    while _storage().exists(_manifest_name(place.name(part))):
        part += 1  # finished once, and not in the index: where that came from a backup, the file is all there is
    count = _Count()
    with tempfile.TemporaryFile() as file:
        with _compress(file) as packed:
            for line in _beating(count.lines(rows)):
                packed.write(line)
        size, file_hash = file.tell(), _digest(file)
        _save(place.name(part), File(file))
    entry = ArchiveFile(
        kind=place.kind,
        account_id=place.account_id,
        day=place.day,
        part=part,
        name=place.name(part),
        rows=count.rows,
        bytes=size,
        sha256=file_hash,
        first_message=count.first,
        last_message=count.last,
        written_at=timezone.now(),
    )
    verify(entry)
    _save(_manifest_name(entry.name), ContentFile(json.dumps(manifest(entry), indent=1).encode()))
    entry.save()
    return entry


def manifest(entry: ArchiveFile) -> dict[str, Any]:
    """What stands beside the file: enough to check it, and to make the index anew, without the database."""
    names = ("kind", "part", "rows", "bytes", "sha256")
    return {
        "format": FORMAT,
        **{name: getattr(entry, name) for name in names},
        "account": str(entry.account_id),
        "day": entry.day.isoformat(),
        "first_message": str(entry.first_message),
        "last_message": str(entry.last_message),
        "written_at": entry.written_at.isoformat(),
    }


def verify(entry: ArchiveFile) -> None:
    """Read the file from the storage. Raises `ArchiveDamaged` when it is not what the entry says."""
    try:
        with _storage().open(entry.name, "rb") as file:
            found = _digest(file)
            rows = sum(1 for _ in _beating(_decompress(file, entry.name))) if found == entry.sha256 else 0
    except (OSError, EOFError) as error:
        raise ArchiveDamaged(f"{entry.name} can't be read: {type(error).__name__}") from error
    if (found, rows) != (entry.sha256, entry.rows):
        raise ArchiveDamaged(f"{entry.name} was read back and is not what was written")


def read(entry: ArchiveFile, about: str = "") -> Iterator[dict[str, Any]]:
    """The lines, or those in which `about` occurs: parsing is what takes time.

    Raises `ArchiveDamaged` for a file that is gone or can't be read.
    """
    try:
        with _storage().open(entry.name, "rb") as file:
            wanted = about.encode()
            for line in _decompress(file, entry.name):
                if wanted in line:
                    yield json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        raise ArchiveDamaged(f"{entry.name} can't be read: {type(error).__name__}") from error


def delete(entry: ArchiveFile) -> None:
    """The manifest, the file, and last its entry: killed in between, it is deleted again."""
    for name in (_manifest_name(entry.name), entry.name):
        _storage().delete(name)
    entry.delete()


def _manifest_name(name: str) -> str:
    return f"{name}.manifest.json"


def _beating(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number % ROWS_A_BEAT == 0:
            heartbeat.beat()
        yield line


def _storage() -> Storage:
    return storages["archive"]


def _save(name: str, content: "File[bytes]") -> None:
    content.seek(0)
    storage = _storage()
    storage.delete(name)
    if (saved := storage.save(name, content)) != name:
        raise ArchiveDamaged(f"the storage called {name} {saved}")
    try:
        path = Path(storage.path(name))
    except NotImplementedError:
        return  # S3 answers when it has the file for good
    for each in (path, *list(path.parents)[:4]):  # the file and the folders that may be new: a power cut takes none
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _compress(file: IO[bytes]) -> IO[bytes]:
    """Closing it leaves `file` open. The same lines make the same bytes."""
    level = LEVELS[settings.ARCHIVE_COMPRESSION]
    if settings.ARCHIVE_COMPRESSION == "zstd":
        from zstandard import ZstdCompressor  # noqa: PLC0415  an extra

        return ZstdCompressor(level=level).stream_writer(file, closefd=False)
    return gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=level, mtime=0)  # type: ignore[return-value]


def _decompress(file: IO[bytes], name: str) -> Iterator[bytes]:
    file.seek(0)
    if name.endswith(SUFFIXES["zstd"]):
        from zstandard import ZstdDecompressor  # noqa: PLC0415  an extra

        reader = ZstdDecompressor().stream_reader(file, closefd=False)
        yield from io.BufferedReader(reader)
        return
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from unpacked


def _digest(file: IO[bytes]) -> str:
    """Hex SHA-256 of all of the file, wherever it stands."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
