"""Statements that a connection plans once, and not each time: for those that run for every message.

Planning the statement that moves a message takes three times as long as moving one. So it is prepared (PREPARE) on each
connection at its first use, and planned anew after `PLANS_LAST`: a plan that was made for a small table would stay
after it has grown.

Behind a pooler that hands out another connection each time (PgBouncer in transaction mode) a prepared statement would
be gone, or somebody else's; there each is sent whole. It shows by the process id: of whom we logged in to, and of who
answers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.db.backends.utils import CursorWrapper

from sendmsg.arrays import array

PLANS_LAST: Final = 30.0  # seconds; a few milliseconds of planning in that time are no burden
_TYPED: Final = re.compile(r"%\((\w+)\)s::([a-z]+(?:\[\])?)")
_NAMED: Final = re.compile(r"%\((\w+)\)s(?:::[a-z]+(?:\[\])?)?")


@dataclass(slots=True)
class _Session:
    """What is known of one connection. `plans`: the name that a statement has there, and when it was planned."""

    direct: bool
    plans: dict[str, tuple[str, float]] = field(default_factory=dict)


_sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()
_numbers: Final = count(1)  # no name is used twice, whatever failed in between


class Prepared:
    """A statement with parameters as psycopg2 has them, each with its type in one place at least: `%(id)s::uuid[]`."""

    def __init__(self, text: str) -> None:
        types = dict(reversed(_TYPED.findall(text)))
        names = dict.fromkeys(_NAMED.findall(text))
        if untyped := names.keys() - types.keys():
            raise ValueError(f"no type for {', '.join(sorted(untyped))}")
        places = {name: f"${number}" for number, name in enumerate(names, 1)}
        self._whole = text
        self._head = f"({', '.join(types[name] for name in names)})" if names else ""
        self._body = _NAMED.sub(lambda found: places[found[1]], text).replace("%%", "%")
        given = ", ".join(f"%({name})s::{types[name]}" for name in names)
        self._given = f"({given})" if names else ""
        self._arrays = {name: types[name].removesuffix("[]") for name in names if types[name].endswith("[]")}

    def __str__(self) -> str:
        return self._whole

    def run(self, cursor: CursorWrapper, values: Mapping[str, Any]) -> None:
        """As `cursor.execute` does; rows and their count are the cursor's then."""
        session = _session(cursor)
        if not session.direct:
            cursor.execute(self._whole, values)
            return
        name, planned_at = session.plans.get(self._body, ("", 0.0))
        if not name or monotonic() - planned_at > PLANS_LAST:
            name = self._prepare(cursor, session, name)
        arrays = {array_of: array(values[array_of], kind) for array_of, kind in self._arrays.items()}
        cursor.execute(f"EXECUTE {name} {self._given}", {**values, **arrays})

    def _prepare(self, cursor: CursorWrapper, session: _Session, before: str) -> str:
        name = f"sendmsg_{next(_numbers)}"
        forget = f"; DEALLOCATE {before}" if before else ""
        cursor.execute(f"PREPARE {name} {self._head} AS {self._body}{forget}")
        session.plans[self._body] = name, monotonic()
        return name


def _session(cursor: CursorWrapper) -> _Session:
    raw = cursor.db.connection
    session = _sessions.get(raw)
    if session is None:
        cursor.execute("SELECT pg_backend_pid()")
        session = _sessions[raw] = _Session(direct=cursor.fetchone()[0] == _backend(raw))
    return session


def _backend(raw: Any) -> int:
    """Who we logged in to."""
    return int(raw.info.backend_pid)
