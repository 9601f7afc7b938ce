"""A deliver task against a real provider process: nobody waits for the slowest, and a lost lease sends nothing."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch import attempts, calls, leases, lines, sending
from dispatch.attempts import Settlement
from dispatch.models import Attempt, Connection, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message
from tests.sandbox.driver import KEY, Sandbox, running
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    with running("--late-seconds", "0.2", "--slow-seconds", "1.5") as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def line(provider: Sandbox, clean_redis: object) -> Iterator[Connection]:
    yield make_connection(name="sendmsg", base_url=provider.url, credentials={"api_key": KEY})
    sending.close_all(20)


def released(alice: Member, number: str, **fields: object) -> Message:
    return make_message(alice.account, state=State.RELEASED, release=1, to=f"+4477009001{number}", **fields)


def deliver(*messages: Message, release: int = 1) -> int:
    """Claim these, and wait until they are settled; how many were claimed."""
    claimed = sending.deliver_batch("sendmsg", [(message.id, release) for message in messages])
    assert sending.wait_settled(20)
    return claimed


def states(*messages: Message) -> list[str]:
    found = dict(Message.objects.values_list("id", "state"))
    return [found[message.id] for message in messages]


def test_a_batch_is_sent_and_settled_by_what_the_provider_said_of_each(alice: Member, provider: Sandbox) -> None:
    batch = [released(alice, number) for number in ("00", "05", "07", "12")]

    assert deliver(*batch) == 4

    assert states(*batch) == [State.SENT, State.FAILED, State.QUEUED, State.QUEUED]
    assert [Message.objects.get(id=message.id).in_doubt for message in batch] == [False, False, False, True]


def test_what_is_logged_during_a_call_names_the_message_and_its_request(
    alice: Member, caplog: pytest.LogCaptureFixture
) -> None:
    message = released(alice, "00", request_id="order-service-7")

    with patch("dispatch.calls.observe", side_effect=lambda *_: logging.getLogger("somebody").warning("else")):
        deliver(message)

    [line] = [line for line in caplog.text.splitlines() if "somebody else" in line]
    assert {"connection=sendmsg", f"message_id={message.id}", "request_id=order-service-7"} < set(line.split())


def test_a_task_that_comes_twice_at_once_sends_once(alice: Member, provider: Sandbox) -> None:
    message = released(alice, "00")
    barrier = threading.Barrier(4)

    def work(_: int) -> int:
        barrier.wait(10)
        try:
            return deliver(message)
        finally:
            database.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(4))) == [0, 0, 0, 1]
    received = provider.received(str(message.id))
    assert (received["sends"], received["replays"]) == (1, 0)


def test_the_fast_are_settled_while_the_slow_is_still_being_sent(alice: Member) -> None:
    slow, fast = released(alice, "09"), released(alice, "00")

    def work() -> None:
        deliver(slow, fast)
        database.close()

    task = threading.Thread(target=work)
    task.start()
    try:
        eventually(lambda: states(fast) == [State.SENT], "the fast one is settled")
        assert states(slow) == [State.SENDING]
    finally:
        task.join(20)
    assert states(slow) == [State.SENT]


def test_leases_are_renewed_while_a_call_takes_long(
    alice: Member, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEND_LEASE = timedelta(seconds=1.2)
    monkeypatch.setattr(
        calls.Lease, "may_start", lambda lease, messages: True
    )  # such a short lease would forbid any call
    monkeypatch.setattr(lines, "LOOK", 0.1)
    message = released(alice, "09")  # answers after 1.5 s

    def work() -> None:
        deliver(message)
        database.close()

    def lease() -> datetime | None:
        return Message.objects.get(id=message.id).lease_until

    task = threading.Thread(target=work)
    task.start()
    try:
        eventually(lambda: states(message) == [State.SENDING], "it is claimed")
        first = lease()
        eventually(lambda: lease() != first, "the lease is renewed")
        assert first is not None
        assert leases.free_ended(first + timedelta(milliseconds=1)) == 0
    finally:
        task.join(20)
    assert states(message) == [State.SENT]


def test_a_worker_whose_lease_is_nearly_over_starts_no_call(
    alice: Member, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = released(alice, "00")
    monkeypatch.setattr(calls.Lease, "may_start", lambda lease, messages: False)

    deliver(message)

    assert states(message) == [State.QUEUED]
    assert Attempt.objects.get().outcome == "not_sent"
    assert str(message.id) not in provider.get("/received").json()["messages"]


def test_a_message_whose_time_ran_out_on_the_way_is_not_sent(alice: Member) -> None:
    message = released(alice, "00", expires_at=timezone.now() - timedelta(seconds=1))

    deliver(message)

    assert states(message) == [State.EXPIRED]


def test_a_message_for_a_connection_that_is_gone_is_left_to_its_lease(alice: Member) -> None:
    message = released(alice, "00")

    assert sending.deliver_batch("no-such-connection", [(message.id, 1)]) == 0
    assert states(message) == [State.RELEASED]


def test_a_connection_that_cannot_work_leaves_its_messages_to_their_lease(alice: Member, provider: Sandbox) -> None:
    make_connection(name="sendmsg", base_url=provider.url, credentials={})
    message = released(alice, "00")

    assert deliver(message) == 0
    assert states(message) == [State.RELEASED]


def test_an_edited_connection_is_used_from_the_next_task_on(alice: Member, provider: Sandbox) -> None:
    make_connection(name="sendmsg", base_url=provider.url, credentials={"api_key": "wrong"})
    refused = released(alice, "00")
    deliver(refused)
    make_connection(name="sendmsg", base_url=provider.url, credentials={"api_key": KEY})
    accepted = released(alice, "00")
    deliver(accepted)

    assert states(refused, accepted) == [State.QUEUED, State.SENT]


def test_a_settle_waits_for_a_database_that_dropped_its_connections(
    alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = released(alice, "00")
    settle = attempts.settle
    dropped: list[bool] = []

    def drop_first(settlements: Sequence[Settlement]) -> None:
        if not dropped:
            dropped.append(True)
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        settle(settlements)

    monkeypatch.setattr(attempts, "settle", drop_first)

    deliver(message)

    assert dropped
    assert states(message) == [State.SENT]
