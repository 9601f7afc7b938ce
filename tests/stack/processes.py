"""Starts the project's own processes, as an operator would, and kills them.

Nothing here reaches into the code under test: a process is started by its command and observed from outside.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import connections

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_WITHIN = 30  # seconds; over the longest provider call of the suite


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_urls() -> dict[str, str]:
    """The databases of the running tests, for a process that shall see what a test has committed."""
    names = {"default": "DATABASE_URL", "logs": "LOGS_DATABASE_URL"}
    urls = {}
    for alias, name in names.items():
        config: dict[str, Any] = connections[alias].settings_dict
        login = f"{config['USER']}:{config['PASSWORD']}" if config["PASSWORD"] else config["USER"]
        urls[name] = f"postgresql://{login}@{config['HOST']}:{config['PORT']}/{config['NAME']}"
    return urls


class Process:
    """One process of the project: its command, its log file, and signals to send it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, **environment}
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group: the web's workers must not outlive a killed master."""
        if self.alive:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: no handler runs, no connection is closed politely."""
        self.signal(signal.SIGKILL)
        if self._running is not None:
            self._running.wait(10)

    def stop(self) -> int:
        """SIGTERM and wait for the drain; the exit code."""
        assert self._running is not None
        self.signal(signal.SIGTERM)
        try:
            return self._running.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {STOP_WITHIN} s: {self.tail()}") from None

    def restart(self) -> None:
        self.kill()
        self.start()

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
