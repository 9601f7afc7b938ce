"""One deliver task: claim a batch, and hand it to the connection's line, which calls the provider and settles.

A task is over when its messages are claimed: from then on their rows and leases hold them, and the thread is free for
the tasks of other connections.
"""

import time
from collections.abc import Sequence
from threading import Lock
from uuid import UUID

import structlog

from dispatch import attempts, calls, directory
from dispatch.lines import Line
from sendmsg.errors import ConfigurationError

logger = structlog.stdlib.get_logger(__name__)

_lines: dict[str, Line] = {}
_lines_lock = Lock()


def line(name: str) -> Line | None:
    """The open line to a connection, made anew when its row changed; None when there is none, or it can't work."""
    entry = directory.entries().get(name)
    with _lines_lock:
        current = _lines.get(name)
        if entry is None or (current is not None and current.entry == entry):
            return current if entry is not None else None
        if entry.fault:
            return None
        try:
            provider = entry.build()
        except ConfigurationError as error:
            logger.error("connection can't work", connection=name, reason=error.detail)
            return None
        made = _lines[name] = Line(entry, provider)
    if current is not None:
        current.close()
    return made


def deliver_batch(name: str, references: Sequence[tuple[UUID, int]]) -> int:
    """Begin to send the messages that are still ours to send; how many were claimed."""
    open_line = line(name)
    if open_line is None:
        logger.warning("task for a connection that is not there", connection=name)
        return 0  # the leases end, and routing chooses again
    held = attempts.claim(references, open_line.entry)
    if held:
        open_line.take(held)
    return len(held)


def wait_settled(seconds: float) -> bool:
    """Until nothing is under way on any line, `seconds` at the most; whether that came."""
    until = time.monotonic() + seconds
    with _lines_lock:
        lines = list(_lines.values())
    return all(open_line.wait_settled(max(0.0, until - time.monotonic())) for open_line in lines)


def drain(seconds: float) -> bool:
    """Begin no more calls, hand back what was not begun, and wait for the others; whether all of it is settled."""
    calls.stopping.set()
    return wait_settled(seconds)


def close_all(seconds: float) -> None:
    """Let go of every line; what is under way is still settled, which takes `seconds` at the most."""
    with _lines_lock:
        lines = list(_lines.values())
        _lines.clear()
    for open_line in lines:
        open_line.close()
    for open_line in lines:
        open_line.wait_closed(seconds)
