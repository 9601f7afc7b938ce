"""One trace for each message, from the API call to its last callback; off, and next to free, without a receiver.

A message's row holds the place in a trace below which whatever happens to it is a span (`Message.trace`), so that
retries, other processes and receipts days later find it. Spans are written when they are over, and go to
`sendmsg.telemetry.otlp`. Work that is done for many messages at once is a trace of its own: it links to theirs, and
their spans link back. Whether a trace is recorded is decided once, when its message is accepted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog
from django.conf import settings
from django.utils import timezone

from sendmsg.telemetry.spans import Data, Kind, Span
from sendmsg.telemetry.traceparent import Place

logger = structlog.stdlib.get_logger(__name__)

MAX_LINKS: Final = 128  # of one span; what OpenTelemetry's SDKs keep by default


@dataclass(frozen=True, slots=True)
class Request:
    """The API call that is being served. `caller`: what it came with. `own`: its span; None while nothing is traced."""

    caller: Place | None
    own: Place | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A message that is being accepted. `column`: for its row."""

    column: str = ""
    place: Place | None = None
    parent_id: str = ""
    links: tuple[Place, ...] = ()


@dataclass(slots=True)
class Batch:
    """Work for many messages, and those of them that are traced."""

    place: Place
    messages: dict[Place, None] = field(default_factory=dict)  # in order, each once


_request: ContextVar[Request | None] = ContextVar("traced_request", default=None)
_batch: ContextVar[Batch | None] = ContextVar("traced_batch", default=None)
_NOTHING: Final = Begun()
_stumbled: set[type[Exception]] = set()


def enabled() -> bool:
    return bool(settings.TRACES_ENDPOINT)


@contextmanager
def request(header: str, describe: Callable[[], tuple[str, Data, str]]) -> Iterator[None]:
    """Around an API call. `header`: its `traceparent`. `describe`: its name, data and failure, once it is over.

    One that is passed on (`PassedOn`) raises and leaves no span: whoever serves it is traced.
    """
    caller = Place.read(header) if header else None
    own = _own(caller) if enabled() else None
    began = timezone.now()
    token = _request.set(Request(caller, own))
    try:
        yield
    finally:
        _request.reset(token)
    if own is not None and own.sampled:
        name, data, failed = describe()
        parent_id = caller.span_id if caller is not None else ""
        _export(Span(name, own, parent_id, began, timezone.now(), "SERVER", data, failed=failed))


def current_trace_id() -> str:
    """Of the API call that this thread serves, while it is traced; else ""."""
    current = _request.get()
    return current.own.trace_id if current is not None and current.own is not None and current.own.sampled else ""


def begin() -> Begun:
    """A message that an API call is about: part of the call's trace, or of the caller's where we trace nothing."""
    current = _request.get()
    if not enabled():
        caller = current.caller if current is not None else None
        return _NOTHING if caller is None else Begun(replace(caller, asked=True).column)
    if current is None or current.own is None:
        return begin_own()
    place = replace(current.own.child(), asked=current.caller is not None)
    return Begun(place.column, place, current.own.span_id)


def begin_own() -> Begun:
    """A message among many: a trace of its own, or one of a hundred thousand messages would be of no use to anybody.

    It links to the call that brought it.
    """
    if not enabled():
        return _NOTHING
    current = _request.get()
    root = Place.root()
    place = replace(root, sampled=_sampled(root.trace_id, current.caller if current is not None else None))
    links = (current.own,) if current is not None and current.own is not None and current.own.sampled else ()
    return Begun(place.column, place, "", links)


def accepted(begun: Begun, at: datetime, data: Data) -> None:
    """To be called when the message is committed. `at`: its `created_at`."""
    place = begun.place
    if place is not None and place.sampled:
        _export(Span("accept", place, begun.parent_id, at, timezone.now(), data=data, links=begun.links))


def recorded(column: str) -> Place | None:
    """Where the spans of this message belong; None if it is not traced, which costs nothing to find out."""
    if not column or not enabled():
        return None
    place = Place.stored(column)
    return place if place is not None and place.sampled else None


def write(
    name: str,
    message: Place,
    began: datetime,
    ended: datetime,
    data: Data,
    *,
    place: Place | None = None,
    below: Place | None = None,
    kind: Kind = "INTERNAL",
    failed: str = "",
) -> None:
    """A span of a message. `place`: its own, if that was given out before. `below`: its parent, if not the message."""
    links: tuple[Place, ...] = ()
    current = _batch.get()
    if current is not None:
        links = (current.place,)
        if len(current.messages) < MAX_LINKS:
            current.messages[message] = None
    parent = below or message
    _export(Span(name, place or message.child(), parent.span_id, began, ended, kind, data, links, failed))


@contextmanager
def batch(name: str, data: Data, kind: Kind = "INTERNAL") -> Iterator[None]:
    """Around work for many messages at once. A trace of its own, if any of them is traced."""
    if not enabled():
        yield
        return
    began, current = timezone.now(), Batch(Place.root(sampled=True))
    token = _batch.set(current)
    try:
        yield
    finally:
        _batch.reset(token)
        if current.messages:
            _export(Span(name, current.place, "", began, timezone.now(), kind, data, tuple(current.messages)))


def _own(caller: Place | None) -> Place:
    place = caller.child() if caller is not None else Place.root()
    return replace(place, sampled=_sampled(place.trace_id, caller))


def _sampled(trace_id: str, caller: Place | None) -> bool:
    from sendmsg.telemetry import otlp  # noqa: PLC0415  # of the extra `otel`, which need not be there

    return otlp.sampled(trace_id, caller)


def _export(span: Span) -> None:
    """Fails open: a mistake here costs a span, and is logged once for each kind of mistake."""
    from sendmsg.telemetry import otlp  # noqa: PLC0415

    try:
        otlp.pipeline().add(span)
    except Exception as error:
        if type(error) not in _stumbled:
            _stumbled.add(type(error))
            logger.exception("span lost", name=span.name)
