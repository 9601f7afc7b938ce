"""What a row keeps of its trace, and which spans its moves leave. `tests/stack/test_traces.py` has the whole tree."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from dispatch import leases, sending, transitions
from dispatch.changes import Change
from dispatch.models import Message
from dispatch.states import State
from sendmsg.telemetry import otlp
from sendmsg.telemetry.traceparent import Place
from tests.cast import Member
from tests.dispatch.providers.test_infobip import TestInfobip as Infobip
from tests.dispatch.rounds import INFOBIP, connected
from tests.factories import make_message
from tests.faults import FaultServer
from tests.telemetry.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNRECORDED = f"{CALLER[:-2]}00"
MESSAGE = {"to": "+447700900900", "body": "hello"}


def post(client: Client, member: Member, traceparent: str = "", path: str = "/v1/messages", body: Any = MESSAGE) -> Any:
    headers = {**member.headers, **({"traceparent": traceparent} if traceparent else {})}
    answer = client.post(path, body, content_type="application/json", headers=headers)
    assert answer.status_code == 202, answer.content
    return answer


class TestWithoutAReceiver:
    def test_a_message_has_no_trace(self, client: Client, alice: Member) -> None:
        post(client, alice)

        assert Message.objects.get().trace == ""

    @pytest.mark.parametrize("header", [CALLER, UNRECORDED])
    def test_a_callers_place_is_kept_for_its_callbacks(self, client: Client, alice: Member, header: str) -> None:
        post(client, alice, header)

        place = Place.stored(Message.objects.get().trace)
        assert place is not None
        assert (place.header, place.asked) == (header, True)

    @pytest.mark.parametrize("header", ["nonsense", CALLER.upper(), f"{CALLER}-more"])
    def test_an_invalid_one_is_ignored(self, client: Client, alice: Member, header: str) -> None:
        post(client, alice, header)

        assert Message.objects.get().trace == ""

    def test_the_next_call_knows_nothing_of_it(self, client: Client, alice: Member) -> None:
        post(client, alice, CALLER)
        post(client, alice)

        assert sorted(bool(message.trace) for message in Message.objects.all()) == [False, True]

    def test_a_batch_keeps_none(self, client: Client, alice: Member) -> None:
        post(client, alice, CALLER, "/v1/messages/batch", {"messages": [MESSAGE]})

        assert Message.objects.get().trace == ""


class TestAccepting:
    def test_a_message_is_below_the_call_and_the_call_below_its_caller(
        self, client: Client, alice: Member, collector: Receiver
    ) -> None:
        post(client, alice, CALLER)
        otlp.close()

        [call] = collector.named("POST /v1/messages")
        [accept] = collector.named("accept")
        assert f"00-{call.trace_id}-{call.parent_id}-01" == CALLER
        assert (accept.trace_id, accept.parent_id) == call.place
        place = Place.stored(Message.objects.get().trace)
        assert place == Place(*accept.place, sampled=True, asked=True)

    def test_of_an_unrecorded_caller_only_its_callbacks_know(
        self, client: Client, alice: Member, collector: Receiver
    ) -> None:
        post(client, alice, UNRECORDED)
        otlp.close()

        place = Place.stored(Message.objects.get().trace)
        assert place is not None
        assert (place.trace_id, place.sampled, place.asked) == (UNRECORDED[3:35], False, True)
        assert collector.spans == []

    def test_what_the_sampler_leaves_out_leaves_nothing_on_the_row(
        self, client: Client, alice: Member, collector: Receiver, settings: Any
    ) -> None:
        settings.TRACES_SAMPLER = "always_off"
        post(client, alice)
        post(client, alice, path="/v1/messages/batch", body={"messages": [MESSAGE]})

        assert {message.trace for message in Message.objects.all()} == {""}

    def test_each_message_of_a_broadcast_has_a_trace_that_links_to_the_call(
        self, client: Client, alice: Member, collector: Receiver
    ) -> None:
        body = {"body": "hello", "recipients": ["+447700900001", "+447700900002"]}
        post(client, alice, path="/v1/broadcasts", body=body)
        otlp.close()

        [call] = collector.named("POST /v1/broadcasts")
        accepts = collector.named("accept")
        assert {one.links for one in accepts} == {frozenset({call.place})}
        assert len({one.trace_id for one in accepts} | {call.trace_id}) == 3
        assert {one.data["sendmsg.message_id"] for one in accepts} == {str(one.id) for one in Message.objects.all()}

    def test_what_is_not_stored_leaves_no_span_of_a_message(
        self, client: Client, alice: Member, collector: Receiver
    ) -> None:
        body = {"body": "hello", "recipients": ["+447700900001", "nonsense"], "all_or_nothing": True}
        client.post("/v1/broadcasts", body, content_type="application/json", headers=alice.headers)
        otlp.close()

        assert [span.name for span in collector.spans] == ["POST /v1/broadcasts"]


class TestMoving:
    @pytest.fixture
    def place(self) -> Place:
        return Place.root(sampled=True)

    def test_a_move_is_the_time_in_the_state_that_it_ends(
        self, alice: Member, collector: Receiver, place: Place
    ) -> None:
        since = timezone.now() - timedelta(seconds=5)
        message = make_message(alice.account, State.RELEASED, trace=place.column, updated_at=since)

        transitions.apply([Change(message.id, State.SENDING, data={"connection": "sendmsg"})])
        otlp.close()

        [span] = collector.spans
        assert (span.name, span.trace_id, span.parent_id) == ("queue", place.trace_id, place.span_id)
        assert span.ended - span.began >= 5 * 10**9
        assert span.data == {
            "sendmsg.message_id": str(message.id),
            "sendmsg.state": "sending",
            "sendmsg.attempt": 1,
            "sendmsg.connection": "sendmsg",
        }

    def test_a_message_waits_from_when_it_is_due(self, alice: Member, collector: Receiver, place: Place) -> None:
        now = timezone.now()
        message = make_message(
            alice.account,
            trace=place.column,
            updated_at=now - timedelta(hours=1),
            due_at=now - timedelta(seconds=5),
        )

        transitions.apply([Change(message.id, State.RELEASED)])
        otlp.close()

        [span] = collector.spans
        assert span.name == "release"
        assert span.began == int(message.due_at.timestamp() * 1_000_000) * 1000

    def test_one_that_is_rolled_back_leaves_no_span(self, alice: Member, collector: Receiver, place: Place) -> None:
        message = make_message(alice.account, trace=place.column)

        with transaction.atomic():
            transitions.apply([Change(message.id, State.RELEASED)])
            transaction.set_rollback(True)
        otlp.close()

        assert collector.spans == []

    def test_a_lost_worker_leaves_the_span_that_it_would_have_written(
        self, alice: Member, collector: Receiver, place: Place
    ) -> None:
        past = timezone.now() - timedelta(seconds=1)
        make_message(alice.account, State.SENDING, trace=place.column, tries=3, lease_until=past)

        leases.free_ended(timezone.now())
        otlp.close()

        [span] = collector.spans
        assert (span.name, span.span_id) == ("send", place.child("send", 3).span_id)
        assert span.failed

    @pytest.mark.parametrize("trace", ["", Place.root(sampled=False).header])
    def test_without_a_recorded_trace_there_is_no_span(self, alice: Member, collector: Receiver, trace: str) -> None:
        message = make_message(alice.account, trace=trace)

        assert transitions.apply([Change(message.id, State.RELEASED)])
        otlp.close()

        assert collector.spans == []


class TestCalls:
    """By a provider that takes many messages in a call."""

    @pytest.fixture
    def provider(self) -> Iterator[FaultServer]:
        with connected(batches=(INFOBIP, Infobip().accept)) as servers:
            yield servers["batches"]

    def deliver(self, alice: Member, count: int) -> list[Place]:
        places = [Place.root(sampled=True) for _ in range(count)]
        messages = [
            make_message(alice.account, State.RELEASED, release=1, to=f"+4477009001{number:02}", trace=place.column)
            for number, place in enumerate(places)
        ]
        sending.deliver_batch("batches", [(message.id, 1) for message in messages])
        assert sending.wait_settled(20)
        otlp.close()
        return places

    def test_a_call_for_many_and_their_own_spans_name_each_other(
        self, alice: Member, collector: Receiver, provider: FaultServer
    ) -> None:
        places = self.deliver(alice, 3)

        [shared] = collector.named("call batch")
        calls = collector.named("call")
        assert shared.links == {(place.trace_id, place.span_id) for place in places}
        assert {one.trace_id: one.links for one in calls} == {
            place.trace_id: frozenset({shared.place}) for place in places
        }
        assert {one.parent_id for one in calls} == {place.child("send", 1).span_id for place in places}
        assert (shared.data["sendmsg.connection"], shared.data["sendmsg.messages"]) == ("batches", 3)

    def test_a_call_for_one_is_its_own_span_only(
        self, alice: Member, collector: Receiver, provider: FaultServer
    ) -> None:
        [place] = self.deliver(alice, 1)

        [call] = collector.named("call")
        assert (call.trace_id, call.links) == (place.trace_id, frozenset())
        assert collector.named("call batch") == []
        assert call.data["sendmsg.outcome"] == "accepted"

    def test_no_provider_hears_of_our_traces(self, alice: Member, collector: Receiver, provider: FaultServer) -> None:
        [place] = self.deliver(alice, 1)

        [request] = provider.requests
        assert not {"traceparent", "tracestate", "baggage"} & set(request.headers)
        assert place.trace_id.encode() not in request.body
