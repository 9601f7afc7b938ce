"""How far a command is, for somebody who watches: nothing where the output goes to a file."""

from typing import Final

from django.core.management.base import OutputWrapper

WIDTH: Final = 30  # characters of the bar


class Progress:
    """A bar on one line of a terminal, ended by leaving the context."""

    def __init__(self, output: OutputWrapper, what: str, total: int) -> None:
        self._output, self._what, self._total = output, what, total
        self._done = 0
        self._shown = output.isatty() and total > 0

    def __enter__(self) -> "Progress":
        self.add(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._output.write("")

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._shown:
            share = min(1.0, self._done / self._total)
            bar = "#" * int(share * WIDTH)
            line = f"\r{self._what} [{bar:<{WIDTH}}] {self._done:,} of {self._total:,} ({share:.0%})"
            self._output.write(line, style_func=str, ending="")  # not in the colour of errors
            self._output.flush()
