"""What our servers have in common: a folder that holds the data, a password, a port, a log, and a lock.

A server that was started is ended in every case: by `stop`, by the end of this process (on Linux, however it ended),
or by the next start on the same folder, which first ends what an earlier run left there. Two runs never share a
folder: the second is refused.
"""

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Self

from sendmsg.embedded.process import EmbeddedServerError, end, free_port, is_free, processes_in

LOG_SIZE = 5_000_000  # bytes; a longer log is set aside at the next start
LOG_TAIL = 15  # lines that an error shows
POLL = 0.02  # seconds between two looks at a server that starts or ends
ORPHAN_PATIENCE = 10.0  # seconds; an orphan that was told to end may be finishing its writes


class Server(ABC):
    """One server on the loopback. `folder` is its own; it is made, and closed to other users, at the first use.

    `durable`: what was acknowledged survives a power failure. False is for tests: it then survives the death of every
    process, yet not that of the machine.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    stop_steps: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    start_within: ClassVar[float] = 60.0  # seconds; recovery after a crash reads the log since the last checkpoint

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock: IO[str] | None = None
        self._access: dict[str, Any] | None = None

    @property
    def port(self) -> int:
        return int(self._known_access()["port"])

    @property
    def password(self) -> str:
        return str(self._known_access()["password"])

    @property
    def pid(self) -> int | None:
        """None unless it runs."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and wait until it answers; does nothing if it runs.

        Raises `EmbeddedServerError` if it ends, stays silent, or another run has the folder.
        """
        if self.is_running():
            return
        self._make_folder()
        self._take_lock()
        try:
            self._end_orphans(ORPHAN_PATIENCE)
            self._settle_port()
            self._prepare_log()
            with self._log.open("ab") as log:
                self._process = self._launch(log)
            self._owner = os.getpid()
            atexit.register(self.stop)
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in order, by force after its patience, and leave no process; does nothing if it does not run."""
        if self._process is None or self._owner != os.getpid():  # a fork of ours has no servers
            return
        if self.is_running():
            end(self._process, *self.stop_steps)
        self._let_go()

    def kill(self) -> None:
        """SIGKILL, as a crash of the machine would have it: nothing is written, nobody is told."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._let_go()

    def remove(self) -> None:
        """End it and delete its data."""
        self.stop()  # a killed PostgreSQL would leave its shared memory segment to the next start
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    @abstractmethod
    def data(self) -> Path:
        """The folder of the server's files, which is its working directory too."""

    @abstractmethod
    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Prepare `data` as needed and start the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves somebody who knows the password."""

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() not in (0, self.folder.stat().st_uid):
            raise EmbeddedServerError(f"{self.folder} belongs to another user: run as that user, or delete it")
        # Passable for the user that a root lends to the server, listable for nobody else.
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise EmbeddedServerError(
                f"{self.name} in {self.folder} is in use by another run: stop that first"
            ) from None
        self._lock = lock

    def _let_go(self) -> None:
        self._process = None
        atexit.unregister(self.stop)
        if self._lock is not None:
            self._end_orphans(0)
            self._lock.close()
            self._lock = None

    def _end_orphans(self, patience: float) -> None:
        """End whatever still works on our data: the server of a killed run, or what our own left behind."""
        number = self.stop_steps[0][0]
        deadline = time.monotonic() + patience
        told: set[int] = set()
        while pids := processes_in(self.data, self.program):
            if time.monotonic() >= deadline and number != signal.SIGKILL:
                number, told = signal.SIGKILL, set()
            for pid in set(pids) - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told.update(pids)
            time.sleep(POLL)

    def _known_access(self) -> dict[str, Any]:
        if self._access is None:
            self._access = self._stored_access() or self._store(free_port(), secrets.token_hex(24))
        return self._access

    def _stored_access(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self.folder / "access.json").read_text()))
        except FileNotFoundError:
            return None

    def _store(self, port: int, password: str) -> dict[str, Any]:
        self._make_folder()
        path = self.folder / "access.json"
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({"port": port, "password": password}))
        draft.rename(path)
        return {"port": port, "password": password}

    def _settle_port(self) -> None:
        """Keep the port of the last run if we can, and in any case one that this run has given out."""
        stored = self._stored_access()
        if self._access is None and stored is not None and not is_free(stored["port"]):
            self._access = self._store(free_port(), stored["password"])

    def _prepare_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_SIZE:
            self._log.rename(self._log.with_suffix(".log.1"))
        self._log.touch(mode=0o600)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_within
        while self.is_running():
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.name} did not answer in {self.start_within:g} s\n{self._tail()}")
            time.sleep(POLL)
        raise EmbeddedServerError(f"{self.name} did not start\n{self._tail()}")

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join([f"{self._log} ends with:", *lines[-LOG_TAIL:]])
