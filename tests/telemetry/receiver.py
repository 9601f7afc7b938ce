"""A real OTLP/HTTP receiver on the loopback: it parses what an exporter posts, and knows the tree of each trace."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.faults import Fault, FaultServer, answer

Tree = dict[str, Any]
"""Each name with what is below it; `send`, `send 2`, … where one parent has several of a name, by time."""


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    data: dict[str, Any]
    links: frozenset[tuple[str, str]]
    failed: str | None
    """What its status says, if that is ERROR."""

    @property
    def place(self) -> tuple[str, str]:
        return self.trace_id, self.span_id


class Receiver:
    """Listens until closed. `fault`: how it answers."""

    def __init__(self, fault: Fault | None = None) -> None:
        self._server = FaultServer(fault or answer(200))
        self.url = self._server.url

    def play(self, fault: Fault) -> None:
        self._server.play(fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def requests(self) -> int:
        return len(self._server.requests)

    @property
    def sent(self) -> bytes:
        """All that ever came, headers too."""
        return b"\n".join(str(dict(request.headers)).encode() + request.body for request in list(self._server.requests))

    @property
    def headers(self) -> list[dict[str, str]]:
        return [dict(request.headers) for request in list(self._server.requests)]

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [_values(group.resource.attributes) for request in self._parsed() for group in request.resource_spans]

    @property
    def spans(self) -> list[Seen]:
        return [
            _seen(span)
            for request in self._parsed()
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def of(self, message_id: object) -> list[Seen]:
        """The spans of the trace that this message's `accept` is in, by when they began; none before that came."""
        spans = self.spans
        for span in spans:
            if span.name == "accept" and span.data.get("sendmsg.message_id") == str(message_id):
                return sorted((one for one in spans if one.trace_id == span.trace_id), key=lambda one: one.began)
        return []

    def _parsed(self) -> list[ExportTraceServiceRequest]:
        bodies = [request.body for request in list(self._server.requests) if request.path == "/v1/traces"]
        return [ExportTraceServiceRequest.FromString(body) for body in bodies]


def tree(spans: list[Seen]) -> Tree:
    """Of one trace, by time; a span whose parent never came is a root."""
    known = {span.span_id for span in spans}
    return _below([span for span in spans if span.parent_id not in known], spans)


def _below(siblings: list[Seen], spans: list[Seen]) -> Tree:
    found: Tree = {}
    for span in siblings:
        count = sum(one.name == span.name for one in siblings[: siblings.index(span) + 1])
        name = span.name if count == 1 else f"{span.name} {count}"
        found[name] = _below([one for one in spans if one.parent_id == span.span_id], spans)
    return found


def _seen(span: Any) -> Seen:
    return Seen(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        data=_values(span.attributes),
        links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        failed=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
