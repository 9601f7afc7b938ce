"""A process of the one-command mode: what it is, whether it lives, and whether it is ready."""

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sendmsg.embedded.process import HOST

ANSWER = 0.2  # seconds that one question whether a child serves may take


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours. It is ready when it answers HTTP on `port`, or has written `says` to its log."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: int | None = None
    says: str | None = None
    rank: int = 0
    """Children of a lower rank are ended first."""


class Running:
    """A child, its process, and how often it died."""

    def __init__(self, child: Child, log: Path) -> None:
        self.child = child
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.deaths = 0
        self.start_at: float | None = None
        """Monotonic time of the next start while it is down, None while it is up."""

    def is_ready(self) -> bool:
        if self.child.port is not None:
            return _serves(self.child.port)
        return self.child.says is None or self.child.says in self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def exit_code(self) -> int | None:
        """None while it lives."""
        return None if self.process is None else self.process.poll()

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def end_group(self) -> None:
        """Kill the process, and what it started and did not take along, such as a web server's workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _serves(port: int) -> bool:
    """Whether a request is answered, with whatever: a connection is accepted long before the program is loaded."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def meaning(code: int) -> str:
    """What an exit code of `subprocess` says, for people."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name} (exit code {code})"
    except ValueError:
        return f"exit code {code}"
