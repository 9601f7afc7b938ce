"""The last place: files on this host, in `RECEIPTS_SPOOL_DIR`.

Each web process appends to one of its own, under a file lock, one line an entry with a checksum, and answers after
fsync. The receipts pump of the host claims a file by renaming it, processes it in batches and deletes it after the last
commit; a pump that dies leaves its lock, and another begins the file again: the same entry twice makes no second row. A
line that is not whole was never acknowledged: it is kept aside in a `.torn` file.

    write   lock → is this still the file of that name? → append → fsync → unlock
    claim   rename → lock (waits for a writer inside) → read
"""

import fcntl
import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, ClassVar
from uuid import uuid4

import structlog

from sendmsg.errors import BufferUnavailable
from webhooks.inbound.base import Payload
from webhooks.inbound.entries import Buffered, pack, unpack

logger = structlog.stdlib.get_logger(__name__)

OPEN, CLAIMED, TORN = ".spool", ".claimed", ".torn"  # what a file is, by the end of its name
TURN_TIMEOUT = 0.5  # seconds to wait for other threads to write
POLL = 0.001  # seconds between two looks at a lock that a pump has for a moment


class Spool:
    where: ClassVar[str] = "spool"

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / f"{uuid4().hex}{OPEN}"
        self._lock = Lock()

    def append(self, connection: str, payload: Payload) -> None:
        packed = pack(connection, payload)
        # A line break before it too: what a crash left half written before us is then a line of its own.
        line = b"\n%08x %b\n" % (zlib.crc32(packed), packed)
        if not self._lock.acquire(timeout=TURN_TIMEOUT):
            raise BufferUnavailable("busy")
        try:
            descriptor = self._open()
            try:
                _write(descriptor, line)
            finally:
                os.close(descriptor)  # ends the lock
        except OSError as error:
            raise BufferUnavailable(error.strerror or type(error).__name__) from None
        finally:
            self._lock.release()

    def _open(self) -> int:
        """Our file, locked; it is made, readable by us alone, if there is none."""
        until = time.monotonic() + TURN_TIMEOUT
        while True:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _locked(descriptor) and _is_at(descriptor, self._path):
                    if os.fstat(descriptor).st_size == 0:
                        _sync_folder(self._path.parent)
                    return descriptor
                if time.monotonic() > until:
                    raise BlockingIOError(0, "busy")
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)
            time.sleep(POLL)


class SpoolSource:
    """One file at a time; `done` after its last entries deletes it."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._file: IO[bytes] | None = None
        self._path = self._folder
        self._held: list[Buffered] = []
        self._torn: list[bytes] = []

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        """Never waits. Raises `OSError`."""
        if self._held:
            return self._held
        if self._file is None and not self._claim():
            return []
        while self._file is not None and len(self._held) < count and (line := self._file.readline()):
            if line.strip():
                self._keep(line)
        if not self._held:
            self._finish()
        return self._held

    def done(self, entries: Sequence[Buffered]) -> None:
        """The file stays until a read finds its end: a crash repeats it as a whole."""
        self._held = []

    def close(self) -> None:
        self._held, self._torn = [], []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _claim(self) -> bool:
        """Have a file of our own: one that a dead pump left, else what is being written to."""
        for path in self._folder.glob(f"*{OPEN}"):
            with suppress(FileNotFoundError):
                path.rename(path.with_suffix(f".{time.time_ns()}{CLAIMED}"))
        for path in sorted(self._folder.glob(f"*{CLAIMED}")):
            with suppress(FileNotFoundError):
                file = path.open("rb")
                if _locked(file.fileno()) and _is_at(file.fileno(), path):
                    self._file, self._path = file, path
                    return True
                file.close()
        return False

    def _keep(self, line: bytes) -> None:
        checksum, _, packed = line.rstrip(b"\n").partition(b" ")
        if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(packed):
            self._held.append(unpack(None, packed))
        else:
            self._torn.append(line)

    def _finish(self) -> None:
        if self._torn:
            aside = self._path.with_suffix(TORN)
            logger.error("spool has torn lines", count=len(self._torn), kept=aside)
            _write_aside(aside, b"".join(self._torn))
        self._path.unlink()
        self.close()


def _locked(descriptor: int) -> bool:
    """Whether the lock was free, and is ours now; it ends with the descriptor, or with the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether this is still the file of that name: it may have been claimed, or deleted, before we had the lock."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _write(descriptor: int, line: bytes) -> None:
    """All of it on disk, or none of it in the file."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(0, "not all was written")
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _write_aside(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
