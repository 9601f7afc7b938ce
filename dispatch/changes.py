"""What is wanted of messages, and how a batch of it is put to Postgres."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from dispatch.states import DEAD, State
from sendmsg.journal.events import as_json

DETAIL_LENGTH: Final = 300  # characters; what the columns hold


@dataclass(frozen=True, slots=True)
class Change:
    """One wanted move. What is None stays as it is, except `lease_until`, which ends with the state that had it.

    `release`: move only if the message is still in that release. `doubt_until`: set once, by the first doubt, and
    cleared with it. `failed`: its waits grow. `avoid`: another option than its last one first; `refused`: options that
    are of no use to it any more. A replay forgets all three. `code`, `detail`: the error to show; "" clears it.
    `data`: goes into the event: codes, names and numbers only.
    """

    message_id: UUID
    target: State
    release: int | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    lease_until: datetime | None = None
    connection_id: int | None = None
    option: int | None = None
    in_doubt: bool | None = None
    doubt_until: datetime | None = None
    failed: bool = False
    avoid: bool = False
    refused: Collection[int] = ()
    code: str | None = None
    detail: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def columns(changes: Sequence[Change]) -> dict[str, Any]:
    """The parameters of `dispatch.transitions.STATEMENT` that come of these changes.

    What those of a batch have in common, as most do, is said once: each names its kind by a number from 1.
    """
    numbers: dict[Any, int] = {}
    kinds: list[Change] = []
    kind_of: list[int] = []
    for change in changes:
        key = _COMMON(change), tuple(change.refused)
        number = numbers.get(key)
        if number is None:
            kinds.append(change)
            number = numbers[key] = len(kinds)
        kind_of.append(number)
    return {
        "id": [str(change.message_id) for change in changes],
        "release": [change.release for change in changes],
        "kind": kind_of,
        # Without their braces: the number of the attempt is added there.
        "data": [text[1:-1] for text in as_json(change.data for change in changes)],
        # Made here, because Postgres has no uuidv7() before version 18; and only for those that may need one.
        "letter": [str(uuid7()) if change.target in DEAD else None for change in changes],
        **_of_kinds(kinds),
    }


def _of_kinds(kinds: Sequence[Change]) -> dict[str, Any]:
    return {
        "target": [change.target.value for change in kinds],
        "due_at": [change.due_at for change in kinds],
        "expires_at": [change.expires_at for change in kinds],
        "lease_until": [change.lease_until for change in kinds],
        "connection": [change.connection_id for change in kinds],
        "option": [change.option for change in kinds],
        "in_doubt": [change.in_doubt for change in kinds],
        "doubt_until": [change.doubt_until for change in kinds],
        "failed": [change.failed for change in kinds],
        "avoid": [change.avoid for change in kinds],
        # As texts: Postgres has no arrays of arrays of different lengths.
        "refused": ["{" + ",".join(map(str, change.refused)) + "}" for change in kinds],
        "code": [change.code for change in kinds],
        "detail": [None if change.detail is None else change.detail[:DETAIL_LENGTH] for change in kinds],
    }


_COMMON: Final = attrgetter(
    "target", "due_at", "expires_at", "lease_until", "connection_id", "option", "in_doubt", "doubt_until", "failed",
    "avoid", "code", "detail",
)  # fmt: skip
