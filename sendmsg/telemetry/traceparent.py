"""A place in a trace, as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/, "traceparent").

Known without OpenTelemetry: a client's place is kept with its message even where we trace nothing ourselves.
"""

import re
import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

HEADER: Final = "traceparent"
_WRITTEN: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 0x01
_ASKED: Final = 0x80
"""On a message's row only: of W3C's flags the last one to be given a meaning. It never leaves us."""


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a trace, in hexadecimal. `sampled`: it is recorded. `asked`: its message came with a `traceparent`."""

    trace_id: str
    span_id: str
    sampled: bool
    asked: bool = False

    @classmethod
    def read(cls, header: str) -> Self | None:
        """What a caller sent; None if that is not valid. Of later versions the part is read that all will have."""
        found = _WRITTEN.fullmatch(header)
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def stored(cls, column: str) -> Self | None:
        """What a message's row says; None where it says nothing."""
        found = _WRITTEN.fullmatch(column)
        if found is None:
            return None
        _, trace_id, span_id, flags, _ = found.groups()
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), bool(int(flags, 16) & _ASKED))

    @classmethod
    def root(cls, sampled: bool = False) -> Self:
        """The first span of a trace of its own."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), sampled)

    def child(self, *name: object) -> Self:
        """A span below this one: a new one; with a `name` the same each time, whichever process asks."""
        if not name:
            span_id = secrets.token_hex(8)
        else:
            span_id = blake2b(repr((self.trace_id, self.span_id, *name)).encode(), digest_size=8).hexdigest()
        return type(self)(self.trace_id, span_id, self.sampled, self.asked)

    @property
    def header(self) -> str:
        return self._written(_SAMPLED if self.sampled else 0)

    @property
    def column(self) -> str:
        """For the row of a message; nothing where nobody would ever ask."""
        if not self.sampled and not self.asked:
            return ""
        return self._written((_SAMPLED if self.sampled else 0) | (_ASKED if self.asked else 0))

    def _written(self, flags: int) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{flags:02x}"
