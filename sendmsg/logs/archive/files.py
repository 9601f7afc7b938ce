"""Writes and reads the files of the archive, compressed NDJSON or Parquet, each with a manifest beside it.

Promises: a file is in the index (`ArchiveFile`) only after it was read back from the storage, and its lines counted
and its SHA-256 compared; a process that is killed before leaves a file that nobody reads, and the rows are written
again. A file that has its manifest is never written over. What reads and writes holds a few lines at a time, whatever
the size of a day.

The storage is `archive` of Django's STORAGES (`ARCHIVE_URL`). While it is away, steps fail and nothing is deleted.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils import timezone

from sendmsg import heartbeat
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.archive import ndjson
from sendmsg.logs.archive.columns import Columns
from sendmsg.logs.models import ArchiveFile

CHUNK: Final = 1_048_576  # bytes read at a time
ROWS_A_BEAT: Final = 100_000  # a second's work or two; a file of millions takes longer than a loop may be silent
FORMAT: Final = 1  # of lines and manifests
PARQUET: Final = ".parquet"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Place:
    """What a file is about. `columns`: what its lines are made of, for formats that want to know."""

    kind: ArchiveFile.Kind
    account_id: UUID
    day: date
    columns: Columns

    def name(self, part: int) -> str:
        suffix = PARQUET if _as_parquet() else ndjson.suffix(settings.ARCHIVE_COMPRESSION)
        return f"{self.kind}/{self.account_id}/{self.day:%Y/%m}/{self.day}.{part}{suffix}"


@dataclass(slots=True)
class _Count:
    rows: int = 0
    first: UUID = field(default_factory=lambda: UUID(int=2**128 - 1))
    last: UUID = field(default_factory=lambda: UUID(int=0))

    def lines(self, rows: Iterable[tuple[UUID, str]]) -> Iterator[str]:
        for message_id, line in rows:
            self.rows += 1
            self.first, self.last = min(self.first, message_id), max(self.last, message_id)
            yield line


def enabled() -> bool:
    """Whether there is an archive. Without one nothing leaves the databases."""
    return "archive" in settings.STORAGES


def write(place: Place, rows: Iterable[tuple[UUID, str]]) -> ArchiveFile:
    """Write pairs of a message's id and a line, one at least; the entry of the index, saved.

    The place's file whose rows are all in the database still is replaced. Raises `ArchiveDamaged` when what is read
    back differs.
    """
    files = ArchiveFile.objects.filter(kind=place.kind, account_id=place.account_id, day=place.day)
    for behind in files.filter(emptied_at=None, leaving_at=None):  # its rows are in the database still
        delete(behind)
    part = (files.order_by("part").values_list("part", flat=True).last() or 0) + 1
    while _storage().exists(_manifest_name(place.name(part))):
        part += 1  # finished once, and not in the index: where that came from a backup, the file is all there is
    count = _Count()
    with tempfile.TemporaryFile() as file:
        _pack(place, _beating(count.lines(rows)), file)
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
            rows = sum(1 for _ in _beating(_each(file, entry.name))) if found == entry.sha256 else 0
    except (OSError, EOFError, ValueError) as error:
        raise ArchiveDamaged(f"{entry.name} can't be read: {type(error).__name__}") from error
    if (found, rows) != (entry.sha256, entry.rows):
        raise ArchiveDamaged(f"{entry.name} was read back and is not what was written")


def read(entry: ArchiveFile, about: str = "") -> Iterator[dict[str, Any]]:
    """The lines, or fewer: those about the message `about` are among them.

    Raises `ArchiveDamaged` for a file that is gone or can't be read.
    """
    try:
        with _storage().open(entry.name, "rb") as file:
            if entry.name.endswith(PARQUET):
                yield from _parquet().unpack(file, about)
            else:
                yield from ndjson.unpack(file, entry.name, about)
    except (OSError, EOFError, ValueError) as error:
        raise ArchiveDamaged(f"{entry.name} can't be read: {type(error).__name__}") from error


def delete(entry: ArchiveFile) -> None:
    """The manifest, the file, and last its entry: killed in between, it is deleted again."""
    for name in (_manifest_name(entry.name), entry.name):
        _storage().delete(name)
    entry.delete()


def _manifest_name(name: str) -> str:
    return f"{name}.manifest.json"


def _as_parquet() -> bool:
    return bool(settings.ARCHIVE_FORMAT == "parquet")


def _parquet() -> ModuleType:
    """Needs pyarrow, which is an extra."""
    from sendmsg.logs.archive import parquet  # noqa: PLC0415

    return parquet


def _pack(place: Place, lines: Iterable[str], file: IO[bytes]) -> None:
    if _as_parquet():
        _parquet().pack(lines, file, settings.ARCHIVE_COMPRESSION, place.columns)
    else:
        ndjson.pack(lines, file, settings.ARCHIVE_COMPRESSION)


def _each(file: IO[bytes], name: str) -> Iterator[object]:
    return _parquet().each(file) if name.endswith(PARQUET) else ndjson.raw(file, name)


def _beating(items: Iterable[Item]) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number % ROWS_A_BEAT == 0:
            heartbeat.beat()
        yield item


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


def _digest(file: IO[bytes]) -> str:
    """Hex SHA-256 of all of the file, wherever it stands."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
