"""With every process running, each message is one trace at a real OTLP receiver, and can be followed in the logs."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.faults import FaultServer, answer
from tests.servers.obtain import Postgres, PrivateRabbitMQ
from tests.stack.stack import Servers, Stack
from tests.telemetry.receiver import Receiver, Seen, Tree, tree
from tests.waiting import eventually

CALLER: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # as in W3C's own examples
TRY: Final[Tree] = {"claim": {}, "call": {}}
SECRET_TEXT: Final = "the code is 48151623"
NUMBER: Final = "+447700900900"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    valkey: EmbeddedValkey,
    private_rabbitmq: PrivateRabbitMQ,
    receiver: Receiver,
) -> Iterator[Stack]:
    """A stack of its own, so that no other test is traced."""
    database_url, logs_database_url = postgres_server.create_databases()
    broker_url = private_rabbitmq.node.create_vhost("traced")
    servers = Servers(database_url, logs_database_url, valkey.url(), "traced", broker_url)
    running = Stack(
        servers,
        tmp_path_factory.mktemp("traced"),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20collector-token",
        OTEL_BSP_SCHEDULE_DELAY="100",
        LOG_FORMAT="json",
        LOG_MESSAGES="true",
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def endpoint(traced: Stack) -> Iterator[FaultServer]:
    """A client's server that is told of everything."""
    with FaultServer(answer(200)) as server:
        made = traced.http.post(
            f"{traced.url}/v1/webhooks",
            json={"url": f"{server.url}/hooks-with-a-secret-path"},
            headers=traced.headers(),
            timeout=15,
        )
        assert made.ok, made.text
        yield server
        traced.http.delete(f"{traced.url}/v1/webhooks/{made.json()['id']}", headers=traced.headers(), timeout=15)


def whole(receiver: Receiver, message_id: str, callbacks: int) -> list[Seen]:
    """The spans of a delivered message, once all of them have come."""

    def look() -> list[Seen] | None:
        spans = receiver.of(message_id)
        names = [span.name for span in spans if span.data.get("sendmsg.message_id", message_id) == message_id]
        return spans if "delivery" in names and names.count("callback") >= callbacks else None

    return eventually(look, f"the trace of {message_id} is whole", 60, every=0.2) or []


def root(spans: list[Seen]) -> Seen:
    [found] = [span for span in spans if span.name == "accept"]
    return found


def test_a_message_that_is_delivered_after_a_retry_is_one_trace(
    traced: Stack, receiver: Receiver, endpoint: FaultServer
) -> None:
    answered = traced.http.post(
        f"{traced.url}/v1/messages",
        json={"to": "+447700900908", "body": SECRET_TEXT},  # throttled once, then taken
        headers={**traced.headers(), "traceparent": CALLER, "X-Request-ID": "request-of-the-test"},
        timeout=15,
    )
    message_id = answered.json()["id"]
    traced.finished(message_id)

    spans = whole(receiver, message_id, callbacks=2)

    assert tree(spans) == {
        "POST /v1/messages": {
            "accept": {
                "release": {},
                "queue": {},
                "send": TRY,
                "release 2": {},
                "queue 2": {},
                "send 2": TRY,
                "delivery": {},
                "receipt": {},
                "callback": {},
                "callback 2": {},
            }
        }
    }
    by_name: dict[str, list[Seen]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    [request] = by_name["POST /v1/messages"]
    assert f"00-{request.trace_id}-{request.parent_id}-01" == CALLER
    assert request.data["sendmsg.request_id"] == "request-of-the-test"
    assert request.data["http.response.status_code"] == 202
    assert [span.failed for span in by_name["call"]] == ["throttled", None]
    assert [span.data["sendmsg.state"] for span in by_name["send"]] == ["queued", "sent"]
    assert by_name["delivery"][0].data["sendmsg.state"] == "delivered"
    assert all(span.began <= span.ended for span in spans)
    told = [one for one in list(endpoint.requests) if one.json()["data"].get("id") == message_id]
    assert {one.headers["traceparent"] for one in told} == {
        f"00-{span.trace_id}-{span.span_id}-01" for span in by_name["callback"]
    }


def test_each_message_of_a_batch_has_a_trace_that_links_to_the_call(traced: Stack, receiver: Receiver) -> None:
    answered = traced.http.post(
        f"{traced.url}/v1/messages/batch",
        json={"messages": [{"to": NUMBER, "body": f"{SECRET_TEXT} {number}"} for number in range(3)]},
        headers=traced.headers(),
        timeout=15,
    )
    ids = [result["id"] for result in answered.json()["results"]]
    traced.settled(ids)

    traces = [whole(receiver, one, callbacks=0) for one in ids]

    [request] = receiver.named("POST /v1/messages/batch")
    assert len({spans[0].trace_id for spans in traces} | {request.trace_id}) == 4
    for spans in traces:
        assert tree(spans) == {
            "accept": {"release": {}, "queue": {}, "send": TRY, "delivery": {}, "receipt": {}},
        }
        assert root(spans).links == {request.place}

    def linked() -> bool:
        """The work that was done for many at once, and the messages, name each other."""
        works = {work.place: work for work in receiver.spans if work.name in ("relay step", "claim batch")}
        for spans in traces:
            for span in spans:
                if span.name in ("release", "claim", "queue"):
                    [place] = span.links
                    if place not in works or root(spans).place not in works[place].links:
                        return False
        return True

    eventually(linked, "batches and messages are linked", 30, every=0.2)


def test_a_caller_that_is_not_recorded_is_not_recorded_by_us(traced: Stack, receiver: Receiver) -> None:
    unsampled = traced.http.post(
        f"{traced.url}/v1/messages",
        json={"to": NUMBER, "body": SECRET_TEXT},
        headers={**traced.headers(), "traceparent": "00-aaaa2f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
        timeout=15,
    ).json()["id"]
    traced.finished(unsampled)
    after = traced.send()
    traced.finished(after)

    whole(receiver, after, callbacks=0)

    assert receiver.of(unsampled) == []
    assert not [span for span in receiver.spans if span.trace_id.startswith("aaaa")]


def test_without_a_traceparent_callbacks_carry_none(traced: Stack, receiver: Receiver, endpoint: FaultServer) -> None:
    message_id = traced.send()
    traced.finished(message_id)

    whole(receiver, message_id, callbacks=2)

    told = [one for one in list(endpoint.requests) if one.json()["data"].get("id") == message_id]
    assert len(told) == 2
    assert not [one for one in told if "traceparent" in one.headers]


def test_while_the_receiver_is_away_messages_are_delivered_and_it_is_said_once(
    traced: Stack, receiver: Receiver
) -> None:
    worker = traced.processes["relay"]
    receiver.play(answer(500))
    try:
        for _ in range(3):
            traced.finished(traced.send())
        eventually(lambda: "traces are dropped" in worker.tail(), "the relay says so", 30)
    finally:
        receiver.play(answer(200))
    back = traced.send()
    traced.finished(back)
    whole(receiver, back, callbacks=0)
    eventually(lambda: "traces are taken again" in worker.tail(), "the relay says so", 30)
    assert worker.tail().count("traces are dropped") == 1


def lines(traced: Stack) -> list[dict[str, Any]]:
    """What our processes logged; the sandbox is a provider's."""
    texts = [process.log.read_text() for name, process in traced.processes.items() if name != "sandbox"]
    return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]


def test_a_message_can_be_followed_through_the_logs(traced: Stack, endpoint: FaultServer) -> None:
    answered = traced.http.post(
        f"{traced.url}/v1/messages",
        json={"to": NUMBER, "body": SECRET_TEXT},
        headers={**traced.headers(), "X-Request-ID": "followed"},
        timeout=15,
    )
    message_id = answered.json()["id"]
    traced.finished(message_id)

    def steps() -> list[tuple[str, str]]:
        found = [line for line in lines(traced) if line.get("message_id") == message_id]
        return sorted((line["event"], str(line.get("state", line.get("type", "")))) for line in found)

    def told() -> bool:
        return [event for event, _ in steps()].count("callback") == 2

    eventually(told, "both callbacks are in the log", 30)
    assert steps() == [
        ("accepted", ""),
        ("callback", "message.delivered"),
        ("callback", "message.sent"),
        ("moved", "delivered"),
        ("moved", "released"),
        ("moved", "sending"),
        ("moved", "sent"),
        ("receipt", ""),
    ]
    assert {one.get("request_id") for one in lines(traced) if one.get("message_id") == message_id} == {"followed"}


def test_no_number_text_or_secret_is_in_any_output(traced: Stack, receiver: Receiver, endpoint: FaultServer) -> None:
    """Of whatever the tests before it did too: traces, logs, metrics and the timeline."""
    message_id = traced.send(NUMBER, body=SECRET_TEXT)
    refused = traced.send("+447700900905", body=SECRET_TEXT)
    traced.finished(message_id)
    traced.finished(refused)
    traced.http.post(f"{traced.url}/webhooks/sendmsg/sendmsg", data=f"{SECRET_TEXT} {NUMBER}", timeout=15)
    traced.http.post(f"{traced.url}/v1/messages", data=f"{SECRET_TEXT} {NUMBER}", headers=traced.headers(), timeout=15)
    whole(receiver, message_id, callbacks=2)
    traced.logged([message_id], ["accepted", "sent", "delivered"])

    outputs = {name: process.log.read_bytes() for name, process in traced.processes.items() if name != "sandbox"}
    outputs["traces"] = receiver.sent
    outputs["metrics"] = traced.http.get(f"{traced.url}/metrics", timeout=15).content
    outputs["timeline"] = str(traced.sql("SELECT type, data FROM logs_event", logs=True)).encode()
    planted: list[str] = [NUMBER[1:], "7700900", SECRET_TEXT, "hooks-with-a-secret-path", *traced.keys.values()]
    planted += [value for name, value in traced.environment.items() if "SECRET" in name or "KEY" in name]
    assert all(len(output) > 100 for name, output in outputs.items() if name in ("web", "worker", "traces", "timeline"))
    assert [(name, one) for name, output in outputs.items() for one in planted if one.encode() in output] == []
    assert {one["authorization"] for one in receiver.headers} == {"Bearer collector-token"}
    assert [name for name, output in outputs.items() if b"collector-token" in output and name != "traces"] == []
