"""Spans reach a receiver as they are meant, and nobody waits for one or fails with it."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest

from sendmsg import __version__
from sendmsg.telemetry import otlp, traces
from sendmsg.telemetry.spans import Span
from sendmsg.telemetry.traceparent import Place
from tests.faults import answer, hang
from tests.telemetry.receiver import Receiver

BEGAN = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
ENDED = BEGAN + timedelta(milliseconds=250)
SAMPLED, UNSAMPLED = Place.root(sampled=True), Place.root(sampled=False)
LOW, HIGH = "0" * 31 + "1", "f" * 32  # trace ids below and above any ratio between


def span(**fields: Any) -> Span:
    return Span(
        **{"name": "call", "place": Place.root(sampled=True), "parent_id": "", "began": BEGAN, "ended": ENDED, **fields}
    )


def test_a_span_arrives_with_its_ids_times_data_links_and_failure(collector: Receiver) -> None:
    message, other = Place.root(sampled=True), Place.root(sampled=True)
    place = message.child("send", 1)

    otlp.pipeline().add(
        span(
            place=place,
            parent_id=message.span_id,
            data={"attempt": 1, "http.response.status_code": 429},
            links=[other],
            failed="throttled",
        )
    )
    otlp.close()

    [seen] = collector.spans
    assert (seen.name, seen.trace_id, seen.span_id) == ("call", place.trace_id, place.span_id)
    assert seen.parent_id == message.span_id
    assert seen.began == int(BEGAN.timestamp()) * 10**9 + 123_456_000
    assert seen.ended - seen.began == 250_000_000
    assert seen.data == {"sendmsg.attempt": 1, "http.response.status_code": 429}
    assert seen.links == {(other.trace_id, other.span_id)}
    assert seen.failed == "throttled"
    [resource] = collector.resources
    assert (resource["service.name"], resource["service.version"]) == ("sendmsg", __version__)


def test_one_that_would_end_before_it_began_has_no_length(collector: Receiver) -> None:
    otlp.pipeline().add(span(ended=BEGAN - timedelta(seconds=1)))  # the database's clock and ours
    otlp.close()

    [seen] = collector.spans
    assert seen.began == seen.ended


@pytest.mark.parametrize(
    ("sampler", "alone", "below_sampled", "below_unsampled"),
    [
        ("always_on", {LOW: True, HIGH: True}, True, True),
        ("always_off", {LOW: False, HIGH: False}, False, False),
        ("traceidratio", {LOW: True, HIGH: False}, False, False),
        ("parentbased_always_on", {LOW: True, HIGH: True}, True, False),
        ("parentbased_always_off", {LOW: False, HIGH: False}, True, False),
        ("parentbased_traceidratio", {LOW: True, HIGH: False}, True, False),
    ],
)
def test_a_trace_is_recorded_as_the_sampler_says(
    settings: Any,
    collector: Receiver,
    sampler: str,
    alone: dict[str, bool],
    below_sampled: bool,
    below_unsampled: bool,
) -> None:
    settings.TRACES_SAMPLER, settings.TRACES_RATIO = sampler, 0.5

    assert {trace_id: otlp.sampled(trace_id, None) for trace_id in alone} == alone
    assert otlp.sampled(HIGH, SAMPLED) is below_sampled
    assert otlp.sampled(HIGH, UNSAMPLED) is below_unsampled


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings and errors, without when and by whom."""
    lines = [line for line in caplog.text.splitlines() if not line.startswith("    ")]
    return [line.split(" ", 3)[3] for line in lines if line.split(" ")[1] in {"warning", "error"}]


def test_it_is_said_once_that_the_receiver_is_away_and_once_that_it_is_back(
    collector: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    processor = otlp.pipeline()._provider  # sends at once what it has, as its thread does in time
    collector.play(answer(500))
    for _ in range(3):
        otlp.pipeline().add(span())
        processor.force_flush()
    collector.play(answer(200))
    for _ in range(2):
        otlp.pipeline().add(span())
        processor.force_flush()

    assert collector.requests == 5
    assert said(caplog) == [
        "traces are dropped: their receiver does not take them",
        "traces are taken again",
    ]


def test_a_receiver_that_hangs_holds_up_neither_spans_nor_the_end(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("MAX_QUEUE_SIZE", "20"), ("MAX_EXPORT_BATCH_SIZE", "5")):
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    monkeypatch.setattr(otlp, "TIMEOUT", 0.5)
    monkeypatch.setattr(otlp, "LAST_WORDS", 0.1)
    collector.play(hang)

    for _ in range(100):  # five times what the queue holds, and the receiver answers nothing
        otlp.pipeline().add(span())
    closing = Thread(target=otlp.close)
    closing.start()
    closing.join(20)

    assert not closing.is_alive()
    assert collector.requests <= 4  # of twenty batches
    assert len([text for text in said(caplog) if "Queue full" in text]) == 1


def test_a_mistake_of_ours_costs_a_span_and_is_said_once(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def add(self, span: Span) -> None:
            raise LookupError("of a new version")

    monkeypatch.setattr(otlp, "pipeline", Broken)
    monkeypatch.setattr(traces, "_stumbled", set())

    for _ in range(3):
        traces.write("call", SAMPLED, BEGAN, ENDED, {})

    assert said(caplog) == ["span lost name=call"]


PROGRAM = """
import django, multiprocessing
from datetime import datetime, timezone
def work():
    django.setup()
    from sendmsg.telemetry import traces
    from sendmsg.telemetry.traceparent import Place
    now = datetime.now(timezone.utc)
    traces.write("call", Place.root(sampled=True), now, now, {})
if __name__ == "__main__":
    WORK
"""


@pytest.mark.parametrize(
    "work",
    ["work()", "p = multiprocessing.get_context('spawn').Process(target=work); p.start(); p.join()"],
    ids=["a process of its own", "a child of the web process"],
)
def test_a_process_that_ends_sends_what_it_has(collector: Receiver, tmp_path: Any, work: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("WORK", work))

    run(str(program), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="60000")

    assert [one.name for one in collector.spans] == ["call"]


def test_without_a_receiver_opentelemetry_need_not_be_installed() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"  # whoever imports it gets an ImportError
        "import django; django.setup()\n"
        "import webhooks.wsgi, dispatch.relay, dispatch.tasks, webhooks.inbound.receipts, webhooks.callbacks.pump\n"
        "from sendmsg.telemetry import traces\n"
        "assert traces.begin() == traces.begin_own() == traces.Begun()\n"
        "print('sendmsg.telemetry.otlp' in sys.modules)"
    )

    assert run("-c", program) == "False\n"


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},  # noqa: PTH109
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
