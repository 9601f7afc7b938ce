"""A client's trace goes on in its callbacks, and nobody else hears of ours."""

from typing import Any
from unittest.mock import patch

import pytest

from sendmsg.telemetry import otlp
from sendmsg.telemetry.traceparent import Place
from tests.cast import Member
from tests.faults import FaultServer, answer
from tests.telemetry.receiver import Receiver
from tests.webhooks.callbacks.driving import deliver, make_endpoint, sent_message, work_off

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = Place("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, asked=True)
OURS = Place(ASKED.trace_id, ASKED.span_id, sampled=True)
UNRECORDED = Place(ASKED.trace_id, ASKED.span_id, sampled=False, asked=True)


@pytest.fixture
def client_server(loopback: None) -> Any:
    with FaultServer(answer(503), answer(200)) as server:
        yield server


def headers_of(server: FaultServer) -> list[str | None]:
    return [request.headers.get("traceparent") for request in server.requests]


@pytest.mark.parametrize(("place", "header"), [(ASKED, ASKED.header), (UNRECORDED, UNRECORDED.header), (OURS, None)])
def test_where_nothing_is_traced_a_clients_own_is_passed_on(
    alice: Member, client_server: FaultServer, place: Place, header: str | None
) -> None:
    make_endpoint(alice.account, client_server.url)
    deliver(sent_message(alice.account, trace=place.column))

    work_off()

    assert headers_of(client_server) == [header]


def test_what_is_logged_during_a_call_names_the_message_and_its_request(
    alice: Member, client_server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    make_endpoint(alice.account, client_server.url)
    message = sent_message(alice.account, request_id="order-service-7")
    deliver(message)
    with patch("webhooks.callbacks.delivery.signing.headers", side_effect=LookupError("ours")):
        work_off()

    [line] = [line for line in caplog.text.splitlines() if "callback raised" in line]
    assert {f"message_id={message.id}", "request_id=order-service-7"} < set(line.split())
    assert " callback_id=" in line


@pytest.mark.parametrize("place", [ASKED, OURS])
def test_each_try_is_a_span_and_its_header_names_it(
    alice: Member, client_server: FaultServer, collector: Receiver, place: Place
) -> None:
    make_endpoint(alice.account, f"{client_server.url}/a-secret-in-a-path")
    message = sent_message(alice.account, trace=place.column)
    deliver(message)

    work_off()
    otlp.close()

    [span] = collector.named("callback")
    assert (span.trace_id, span.parent_id) == (place.trace_id, place.span_id)
    assert span.data["sendmsg.type"] == "message.delivered"
    assert (span.data["http.response.status_code"], span.data["sendmsg.attempt"]) == (503, 1)
    assert span.failed == "http_503"
    assert headers_of(client_server) == [f"00-{span.trace_id}-{span.span_id}-01" if place.asked else None]
    assert b"a-secret-in-a-path" not in collector.sent


def test_a_callback_about_no_message_has_no_trace(
    alice: Member, client_server: FaultServer, collector: Receiver
) -> None:
    from webhooks.callbacks import outbox

    outbox.test(make_endpoint(alice.account, client_server.url))

    work_off()
    otlp.close()

    assert headers_of(client_server) == [None]
    assert collector.spans == []
