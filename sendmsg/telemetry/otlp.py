"""Spans to an OTLP/HTTP receiver: the only module that knows OpenTelemetry, which is an extra.

Promises: nobody waits for a receiver and nobody fails with it. Spans go through a bounded queue to a thread of each
process, made at the first span; while the receiver is away they are dropped, which is logged once. Fails open.

OpenTelemetry's SDK reads more of its own variables than we do: `OTEL_BSP_MAX_QUEUE_SIZE` (spans that wait, 2048),
`OTEL_BSP_SCHEDULE_DELAY` (milliseconds between batches, 5000), `OTEL_RESOURCE_ATTRIBUTES`, and those about TLS.
"""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from multiprocessing.util import Finalize
from typing import Final

import structlog
from django.conf import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from sendmsg import __version__
from sendmsg.telemetry.spans import Span
from sendmsg.telemetry.traceparent import Place

logger = structlog.stdlib.get_logger(__name__)
_lock = threading.Lock()

TIMEOUT: Final = 3.0  # seconds for one batch, repeats included; other threads never wait for it
LAST_WORDS: Final = 2.0  # seconds after which a process that ends begins no other batch


class Ids(IdGenerator):
    """Ids that we chose: a span's id is on a row before the span is over, and others are its children by then."""

    def __init__(self) -> None:
        self._next = threading.local()

    def prepare(self, place: Place) -> None:
        self._next.place = place

    def generate_span_id(self) -> int:
        return int(self._next.place.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self._next.place.trace_id, 16)


class Once(logging.Filter):
    """Lets each text through the first time."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if text in self._said:
            return False
        self._said.add(text)
        return True


class Quietly(SpanExporter):
    """Says once that the receiver is away, and once that it is back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._away = False
        self._ends_at = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() > self._ends_at:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._away:
            logger.warning("traces are dropped: their receiver does not take them")
        elif self._away and not failed:
            logger.warning("traces are taken again")
        self._away = failed
        return result

    def hurry(self) -> None:
        self._ends_at = time.monotonic() + LAST_WORDS

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Pipeline:
    """Of one process. Whether a trace is recorded was decided when it began, so nothing is sampled here."""

    def __init__(self) -> None:
        # They would repeat themselves for every batch that fails, and for every span that finds the queue full.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        logging.getLogger("opentelemetry.sdk._shared_internal").addFilter(Once())
        exporter = Quietly(
            OTLPSpanExporter(
                endpoint=f"{settings.TRACES_ENDPOINT}/v1/traces", headers=settings.TRACES_HEADERS, timeout=TIMEOUT
            )
        )
        self._ids = Ids()
        resource = Resource.create({"service.name": settings.TRACES_SERVICE, "service.version": __version__})
        self._provider = TracerProvider(
            sampler=sampling.ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=self._ids
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sendmsg", __version__)
        self._exporter = exporter

    def add(self, span: Span) -> None:
        self._ids.prepare(span.place)
        begun = self._tracer.start_span(
            span.name,
            context=_below(span.place.trace_id, span.parent_id),
            kind=trace.SpanKind[span.kind],
            attributes={f"sendmsg.{key}" if "." not in key else key: value for key, value in span.data.items()},
            links=[Link(_context(place.trace_id, place.span_id)) for place in span.links],
            start_time=_nanoseconds(span.began),
            record_exception=False,
        )
        if span.failed:
            begun.set_status(Status(StatusCode.ERROR, span.failed))
        begun.end(max(_nanoseconds(span.began), _nanoseconds(span.ended)))

    def close(self) -> None:
        self._exporter.hurry()
        self._provider.shutdown()


def pipeline() -> Pipeline:
    """The one of this process; what it holds is sent when the process ends."""
    with _lock:
        return _pipeline()


def close() -> None:
    """Send what there is, which takes `TIMEOUT` and `LAST_WORDS` at the most; another span makes another pipeline."""
    with _lock:
        if _pipeline.cache_info().currsize:
            _pipeline().close()
            _pipeline.cache_clear()


@cache
def _pipeline() -> Pipeline:
    return Pipeline()


# Not atexit: web processes are children of multiprocessing, which end without it.
Finalize(None, close, exitpriority=100)


def sampled(trace_id: str, caller: Place | None) -> bool:
    """Whether a trace that begins here is recorded, as `OTEL_TRACES_SAMPLER` has it."""
    parent = _below(trace_id, caller.span_id, caller.sampled) if caller is not None else Context()
    return _sampler().should_sample(parent, int(trace_id, 16), "").decision is sampling.Decision.RECORD_AND_SAMPLE


@cache
def _sampler() -> sampling.Sampler:
    ratio = sampling.TraceIdRatioBased(settings.TRACES_RATIO)
    samplers: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": ratio,
        "parentbased_always_on": sampling.ParentBased(sampling.ALWAYS_ON),
        "parentbased_always_off": sampling.ParentBased(sampling.ALWAYS_OFF),
        "parentbased_traceidratio": sampling.ParentBased(ratio),
    }
    return samplers[settings.TRACES_SAMPLER]


def _below(trace_id: str, span_id: str, recorded: bool = True) -> Context:
    if not span_id:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(_context(trace_id, span_id, recorded)), Context())


def _context(trace_id: str, span_id: str, recorded: bool = True) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if recorded else TraceFlags.DEFAULT)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
