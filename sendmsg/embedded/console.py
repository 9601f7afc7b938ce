"""What the one-command mode prints. Printing never fails: a terminal that went away must not keep us from ending."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator


class Console(logging.Handler):
    """Lines on standard output; a long step shows its name at once and its time when it is done.

    As a log handler it prints what the embedded servers have to say, apart from the step that is under way.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._step_open = False

    def say(self, line: str = "") -> None:
        before = "\n" if self._step_open else ""
        self._step_open = False
        self._write(f"{before}{line}\n")

    def complain(self, text: str) -> None:
        """An error, on standard error; its first line names us."""
        if self._step_open:
            self.say()
        with contextlib.suppress(OSError):
            print(f"sendmsg: {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show that something long is going on, and how long it took in the end."""
        started = time.monotonic()
        self._write(f"  {name:<34} ")
        self._step_open = True
        yield
        took = f"{time.monotonic() - started:5.1f} s"
        self._write(f"{took}\n" if self._step_open else f"  {name:<34} {took}\n")
        self._step_open = False

    def emit(self, record: logging.LogRecord) -> None:
        self.say(f"    {record.getMessage()}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(text)
            sys.stdout.flush()
