"""What the measures share: the running gateway, its controls, and waits that end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

import requests

from tests.stack.processes import ROOT, Process, free_port
from tests.stack.stack import Stack
from tests.waiting import eventually

WORKERS, THREADS = 2, 4  # of the web process and of its control
DELIVERING = ("relay", "worker", "worker-2")
SOON = 0.05  # seconds between two looks at what is about to end
SILENT = "+447700900911"  # the sandbox takes it and never sends a receipt


def posts(url: str, path: str, bodies: Sequence[object], **headers: str) -> list[bytes]:
    """Requests as they go over the wire, each with an idempotency key of its own."""
    made = []
    for body in bodies:
        content = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Idempotency-Key: {uuid4()}", f"Content-Length: {len(content)}", "", ""]
        made.append("\r\n".join(lines).encode() + content)
    return made


def worked_off(left: Callable[[], int], count: int, patience: float) -> tuple[float, int]:
    """Seconds from now until nothing is left, or `patience`; and how much is left.

    Looks are few until the end is near: each counts a large table on the cores that are measured.
    """
    began = time.monotonic()
    while (waiting := left()) and time.monotonic() - began < patience:
        took, done = time.monotonic() - began, count - waiting
        time.sleep(min(2.0, max(SOON, took * waiting / done / 3)) if done else 4 * SOON)
    return time.monotonic() - began, waiting


@contextmanager
def asleep(stack: Stack, *names: str) -> Iterator[None]:
    """These processes are stopped meanwhile."""
    for name in names:
        stack.processes[name].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            stack.processes[name].signal(signal.SIGCONT)


@contextmanager
def bare(stack: Stack) -> Iterator[str]:
    """The control of the web process, and its URL."""
    from tests.bench.bare import QUEUE, TABLE

    stack.sql(TABLE)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "DATABASE_URL": stack.servers.database_url,
        "REDIS_URL": stack.servers.redis_url,
        "BROKER_URL": stack.servers.broker_url,
    }
    declare(stack, QUEUE)
    flags = ("--workers", str(WORKERS), "--blocking-threads", str(THREADS), "--no-ws", "--http", "1")
    command = ["-m", "granian", "--interface", "wsgi", "--port", str(port), "--log-level", "warning", *flags]
    with TemporaryDirectory() as folder:
        process = Process("bare", [*command, "tests.bench.bare:application"], environment, Path(folder))
        process.start()
        try:
            eventually(lambda: _listens(url), "the control answers", 60)
            yield url
        finally:
            process.kill()


def declare(stack: Stack, queue: str) -> None:
    """A quorum queue, as ours are."""
    from kombu import Connection, Queue

    with Connection(stack.servers.broker_url) as broker:
        Queue(queue, queue_arguments={"x-queue-type": "quorum"}).bind(broker.default_channel).declare()


def callers(url: str, calls: int, threads: int, token: str) -> float:
    """Calls a second of two bare processes that make half of them each."""
    command = [sys.executable, "-m", "tests.bench.caller", url, str(calls // 2), str(threads), token]
    running = [subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE) for _ in range(2)]
    slowest = max(float(process.communicate(timeout=120)[0]) for process in running)
    return calls / slowest


def _listens(url: str) -> bool:
    try:
        return bool(requests.get(f"{url}/none", timeout=5).status_code)
    except requests.RequestException:
        return False
