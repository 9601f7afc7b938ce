"""Processes that we start and that end with us, and the free ports that they listen on."""

import contextlib
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launcher.py")
LSOF = "/usr/sbin/lsof"  # of macOS, where there is no /proc
HOST = "127.0.0.1"
# Below what Linux (32768…) and macOS (49152…) give to outgoing connections: while a server restarts, no client can
# be handed its port, nor connect to itself by chance.
PORTS = range(15_000, 32_000)


class EmbeddedServerError(Exception):
    """A server could not be started or stopped; the text says which, why, and what its log says."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system to run a program as."""

    name: str
    uid: int
    gid: int


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    output: IO[bytes] | int,
    environment: Mapping[str, str],
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, in a session of its own: a terminal's Ctrl-C is for us, who stop things in order.

    On Linux it gets `death_signal` when this process dies, however that happens. `account` needs root.
    """
    ids = (account.uid, account.gid) if account else (-1, -1)
    launch = [sys.executable, "-I", "-S", LAUNCHER, os.getpid(), int(death_signal), *ids, *command]
    return _spawner().run(
        lambda: subprocess.Popen(
            [str(part) for part in launch],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    )


class _Spawner:
    """The thread that starts all children: Linux sends the death signal when the forking *thread* ends."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._jobs = queue.SimpleQueue()
        threading.Thread(target=self._work, name="spawner", daemon=True).start()

    def run(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, future))
        return future.result()

    def _work(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except Exception as error:
                future.set_exception(error)
            del job, future  # a thread that waits for the next job must not keep the last child alive


@cache
def _spawner() -> _Spawner:
    return _Spawner()


os.register_at_fork(after_in_child=_spawner.cache_clear)  # a forked child has none of our threads


def free_port() -> int:
    """A port of `PORTS` on which nobody listens."""
    for port in random.sample(PORTS, 200):
        if is_free(port):
            return port
    raise EmbeddedServerError(f"found no free port between {PORTS.start} and {PORTS.stop}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def end(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> None:
    """Send each signal in turn and wait its seconds; SIGKILL when none helped."""
    for number, seconds in steps:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    process.kill()
    process.wait()


def processes_in(folder: Path, program: str) -> list[int]:
    """The pids of every `program` whose working directory is `folder`, whoever started it."""
    target = str(folder.resolve())
    if Path("/proc/self/cwd").exists():
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [int(entry.name) for entry in entries if _runs_in(entry, target, program)]
    listing = subprocess.run(
        [LSOF, "-a", "-d", "cwd", "-c", program, "-F", "pn"], capture_output=True, text=True, check=False
    )
    return read_lsof(listing.stdout, target)


def _runs_in(entry: Path, target: str, program: str) -> bool:
    try:
        return (entry / "comm").read_text().strip() == program and str((entry / "cwd").readlink()) == target
    except OSError:  # it ended meanwhile, or is somebody else's
        return False


def read_lsof(listing: str, target: str) -> list[int]:
    """The pids of an `lsof -F pn` listing, one field a line, that have `target` open."""
    pids, pid = [], 0
    for line in listing.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line == f"n{target}":
            pids.append(pid)
    return pids
