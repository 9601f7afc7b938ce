"""What happens to a message, as spans of its trace: one for each state that it leaves, and one for each call.

Names: `release` (due, until the relay releases it), `queue` (until a worker has it), `send` (until its try is settled,
with `claim` and `call` below), `delivery` (until its receipt moves it), `receipt`. Without a trace on its row none of
this costs more than a look at an empty text.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from django.db import transaction
from django.utils import timezone

from dispatch.rows import Facts
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from sendmsg.telemetry import steps, traces
from sendmsg.telemetry.spans import Data
from sendmsg.telemetry.traceparent import Place

if TYPE_CHECKING:  # they import this module
    from dispatch.changes import Change
    from dispatch.claims import Held
    from dispatch.directory import Entry
    from dispatch.transitions import Moved
    from dispatch.verdicts import Ending

STATES: Final = {
    State.QUEUED: "release",
    State.RELEASED: "queue",
    State.SENDING: "send",
    State.SENT: "delivery",
}
"""The span of the time in a state; those that end a message have none."""
BAD: Final = frozenset({State.FAILED, State.UNDELIVERED, State.EXPIRED, State.UNKNOWN})


class Told(Protocol):
    """A receipt, as far as a span has it; the model is the layer's above."""

    @property
    def status(self) -> str: ...
    @property
    def error_code(self) -> str: ...
    @property
    def received_at(self) -> datetime: ...


def moved(moves: "Sequence[tuple[Moved, Change]]") -> None:
    """The states that these messages left, once that is committed; in the log too, where that is wanted."""
    for move, change in moves:
        code = change.code or str(change.data.get("code", ""))
        data: dict[str, str | int] = {"message_id": str(move.message_id), "state": move.target.value}
        data |= {"attempt": move.tries} if move.tries else {}
        data |= {"code": code} if code else {}
        data |= {"connection": str(change.data["connection"])} if "connection" in change.data else {}
        if steps.on():
            steps.log("moved", **data, request_id=move.request_id)
        message, name = traces.recorded(move.trace), STATES.get(move.source)
        if message is None or name is None or move.since is None or move.at is None:
            continue
        place = _send(message, move.tries) if move.source is State.SENDING else None
        failed = (code or move.target.value) if change.failed or move.target in BAD else ""
        traces.write(name, message, move.since, move.at, data, place=place, failed=failed)


def claimed(held: "Sequence[Held]", connection: str, began: datetime) -> None:
    """Rows that a worker took; `began`: when it began to."""
    ended = timezone.now()
    for item in held:
        message = traces.recorded(item.trace)
        if message is not None:
            below = _send(message, item.claim.attempt)
            traces.write("claim", message, began, ended, _data(item, connection), below=below)


def shared(group: "Sequence[Held]", entry: "Entry") -> AbstractContextManager[None]:
    """Around a call to a provider that is for several messages."""
    if len(group) < 2:
        return nullcontext()
    return traces.batch("call batch", {"connection": entry.name, "messages": len(group)}, "CLIENT")


def called(group: "Sequence[Held]", endings: "Sequence[Ending]", entry: "Entry", began: datetime) -> None:
    """What a provider answered, or did not."""
    from dispatch.verdicts import outcome_of  # noqa: PLC0415  # a circle: verdicts, transitions, spans

    ended = timezone.now()
    for item, ending in zip(group, endings, strict=True):
        message = traces.recorded(item.trace)
        if message is None:
            continue
        outcome, code = outcome_of(ending).value, str(getattr(ending, "code", ""))
        data = {**_data(item, entry.name), "provider": entry.provider, "outcome": outcome}
        if code:
            data["code"] = code
        failed = "" if outcome == "accepted" else code or outcome
        below = _send(message, item.claim.attempt)
        traces.write("call", message, began, ended, data, below=below, kind="CLIENT", failed=failed)


def heard(message: Facts, receipt: Told, connection: str, became: str) -> None:
    """A receipt, from its webhook until it was applied or noted; written once that is committed."""
    place = traces.recorded(message.trace)
    if place is None and not steps.on():
        return
    data = {"message_id": str(message.id), "connection": connection, "status": receipt.status, "became": became}
    if receipt.error_code:
        data["code"] = receipt.error_code
    failed = (receipt.error_code or receipt.status) if receipt.status == ReceiptStatus.UNDELIVERED else ""
    began = receipt.received_at

    def write() -> None:
        if steps.on():
            steps.log("receipt", **data, request_id=message.request_id)
        if place is not None:
            traces.write("receipt", place, began, timezone.now(), data, kind="CONSUMER", failed=failed)

    transaction.on_commit(write, robust=True)


def _send(message: Place, attempt: int) -> Place:
    """The span of a try. Known before it is over, in whichever process: `claim` and `call` are below it."""
    return message.child("send", attempt)


def _data(item: "Held", connection: str) -> Data:
    return {
        "message_id": str(item.claim.message_id),
        "connection": connection,
        "attempt": item.claim.attempt,
    }
