"""A paused broadcast sends nothing, a canceled one is taken back, and each ends when nothing of it is left to do."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import deadlines, directory, leases, transitions
from dispatch.bulk import broadcasts
from dispatch.bulk import sweep as sweeping
from dispatch.bulk.sweep import BroadcastSweep, sweep
from dispatch.changes import Change
from dispatch.models import Announcement, Broadcast, DeadLetter, Listener, Message
from dispatch.relay import Relay, release
from dispatch.rematch import Rematch
from dispatch.replays import replay
from dispatch.states import State
from dispatch.vocabulary import BroadcastState
from sendmsg.accounts.models import Account
from sendmsg.journal.models import JournalEntry
from tests.factories import make_connection, make_message, make_route
from tests.parallel import in_threads

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def connection(db: None) -> Any:
    return make_connection()


def make_broadcast(account: Account, state: str = BroadcastState.RUNNING, **fields: Any) -> Broadcast:
    now = timezone.now()
    times = {"created_at": now, "expires_at": now + timedelta(hours=1)}
    return Broadcast.objects.create(account=account, state=state, channel="sms", body="hello", **{**times, **fields})


def make_messages(broadcast: Broadcast, count: int = 3, state: State = State.QUEUED, **fields: Any) -> list[Message]:
    fields = {"broadcast": broadcast, "priority": 2, **fields}
    return [make_message(broadcast.account, state, **fields) for _ in range(count)]


def released(limit: int = 100) -> int:
    return sum(len(references) for _, references in release(directory.entries(), limit))


def settle() -> None:
    """Sweeps until there is nothing to do, as a relay does over its turns."""
    for _ in range(20):
        if not sweep():
            return
    raise AssertionError("the sweep never rests")


def states(broadcast: Broadcast) -> Counter[str]:
    return Counter(Message.objects.filter(broadcast=broadcast).values_list("state", flat=True))


class TestPausing:
    def test_from_the_moment_it_is_paused_nothing_of_it_leaves(self, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        make_messages(broadcast)
        other = make_message(acme, priority=2)

        broadcasts.move(broadcast.id, "pause")  # and no sweep has run

        assert released() == 1
        other.refresh_from_db()
        assert other.state == State.RELEASED
        assert states(broadcast) == {State.QUEUED: 3}

    def test_its_rows_are_held_and_let_go_batch_by_batch(self, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "HOLD_BATCH", 2)
        broadcast = make_broadcast(acme)
        [first, *_] = make_messages(broadcast, 5)

        broadcasts.move(broadcast.id, "pause")
        assert [sweep() for _ in range(4)] == [2, 2, 1, 0]
        assert set(Message.objects.values_list("lane", flat=True)) == {-first.lane}

        broadcasts.move(broadcast.id, "resume")
        assert [sweep() for _ in range(4)] == [2, 2, 1, 0]
        assert set(Message.objects.values_list("lane", flat=True)) == {first.lane}
        assert released() == 5

    def test_one_that_was_under_way_and_comes_back_does_not_leave_again(self, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        [message] = make_messages(broadcast, 1, State.SENDING)
        broadcasts.move(broadcast.id, "pause")
        settle()

        transitions.apply([Change(message.id, State.QUEUED, due_at=timezone.now(), failed=True)])
        assert released() == 0
        settle()
        message.refresh_from_db()
        assert message.lane < 0
        assert released() == 0

        broadcasts.move(broadcast.id, "resume")
        settle()
        assert released() == 1

    def test_one_whose_task_was_lost_does_not_leave_again(self, acme: Account) -> None:
        broadcast = make_broadcast(acme, BroadcastState.PAUSED)
        make_messages(broadcast, 1, State.RELEASED, lease_until=timezone.now() - timedelta(seconds=1))

        assert leases.free_ended(timezone.now()) == 1
        assert released() == 0

    def test_held_rows_expire_at_their_deadline(self, acme: Account) -> None:
        broadcast = make_broadcast(acme, BroadcastState.PAUSED)
        make_messages(broadcast, 1, expires_at=timezone.now() - timedelta(seconds=1))
        settle()

        deadlines.end_overdue(timezone.now())

        assert states(broadcast) == {State.EXPIRED: 1}

    def test_one_that_expired_while_it_was_held_leaves_when_it_is_replayed(self, acme: Account) -> None:
        broadcast, now = make_broadcast(acme, BroadcastState.PAUSED), timezone.now()
        make_messages(broadcast, 1, created_at=now - timedelta(hours=1), expires_at=now - timedelta(seconds=1))
        settle()
        deadlines.end_overdue(now)
        broadcasts.move(broadcast.id, "resume")
        settle()
        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.FINISHED

        replay([DeadLetter.objects.get().id], by="ada")

        assert released() == 1

    def test_an_edited_route_moves_held_rows_and_holds_them(self, acme: Account) -> None:
        broadcast = make_broadcast(acme, BroadcastState.PAUSED)
        [message] = make_messages(broadcast, 1)
        settle()
        route = make_route("all", make_connection())

        Rematch().step()

        message.refresh_from_db()
        assert message.lane <= -16 * route.pk
        assert released() == 0


class TestCanceling:
    def test_what_waits_is_taken_back_and_what_left_goes_on(self, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        make_messages(broadcast, 3)
        make_messages(broadcast, 1, State.RELEASED)
        make_messages(broadcast, 1, State.SENT)
        [sending] = make_messages(broadcast, 1, State.SENDING)

        broadcasts.move(broadcast.id, "cancel")
        assert released() == 0
        settle()

        broadcast.refresh_from_db()
        assert states(broadcast) == {State.CANCELED: 4, State.SENT: 1, State.SENDING: 1}
        assert broadcast.state == BroadcastState.CANCELING

        transitions.apply([Change(sending.id, State.QUEUED, due_at=timezone.now())])
        settle()
        broadcast.refresh_from_db()
        assert states(broadcast) == {State.CANCELED: 5, State.SENT: 1}
        assert broadcast.state == BroadcastState.CANCELED
        assert broadcast.finished_at is not None

    def test_one_in_doubt_is_neither_sent_again_nor_called_canceled(self, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        [doubtful] = make_messages(broadcast, 1, in_doubt=True, connection=make_connection())

        broadcasts.move(broadcast.id, "cancel")
        settle()

        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.CANCELING
        assert released() == 0
        assert states(broadcast) == {State.QUEUED: 1}

        transitions.apply([Change(doubtful.id, State.UNKNOWN)])
        settle()
        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.CANCELED

    def test_it_goes_on_where_a_relay_that_died_left_off(self, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "CANCEL_BATCH", 2)
        broadcast = make_broadcast(acme)
        make_messages(broadcast, 5)
        broadcasts.move(broadcast.id, "pause")
        settle()
        broadcasts.move(broadcast.id, "cancel")

        assert BroadcastSweep().step() == 2
        assert BroadcastSweep().step() == 2
        assert BroadcastSweep().step() == 2  # the last message, and the broadcast
        assert states(broadcast) == {State.CANCELED: 5}

    def test_another_broadcast_and_other_messages_are_left_alone(self, acme: Account) -> None:
        broadcast, other = make_broadcast(acme), make_broadcast(acme)
        for one in (broadcast, other):
            make_messages(one, 2)
        make_message(acme)

        broadcasts.move(broadcast.id, "cancel")
        settle()

        assert states(other) == {State.QUEUED: 2}
        assert released() == 3


class TestFinishing:
    @pytest.mark.parametrize("state", [State.QUEUED, State.RELEASED, State.SENDING])
    def test_it_runs_while_anything_of_it_waits_or_is_under_way(self, acme: Account, state: State) -> None:
        broadcast = make_broadcast(acme)
        make_messages(broadcast, 1, State.DELIVERED)
        make_messages(broadcast, 1, state)
        settle()

        broadcast.refresh_from_db()
        assert (broadcast.state, broadcast.finished_at) == (BroadcastState.RUNNING, None)

    def test_it_is_finished_once_all_have_left_or_ended(self, acme: Account) -> None:
        broadcast = make_broadcast(acme)
        for state in (State.SENT, State.DELIVERED, State.FAILED, State.EXPIRED):
            make_messages(broadcast, 1, state)
        settle()

        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.FINISHED
        assert broadcast.finished_at is not None

    def test_a_paused_one_is_not_finished(self, acme: Account) -> None:
        broadcast = make_broadcast(acme, BroadcastState.PAUSED)
        settle()

        broadcast.refresh_from_db()
        assert broadcast.state == BroadcastState.PAUSED


def test_a_relay_does_so_at_its_turns(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay()
    monkeypatch.setattr(relay._publisher, "open", lambda names: None)
    broadcast = make_broadcast(acme)
    make_messages(broadcast, 1, State.SENT)

    relay.step()

    broadcast.refresh_from_db()
    assert broadcast.state == BroadcastState.FINISHED


@pytest.mark.django_db(transaction=True)
def test_two_relays_cancel_each_message_once(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "CANCEL_BATCH", 3)
    broadcast = make_broadcast(acme)
    make_messages(broadcast, 20)
    Broadcast.objects.filter(pk=broadcast.pk).update(state=BroadcastState.CANCELING)

    in_threads(4, lambda _: settle())
    settle()

    events = [event["type"] for entry in JournalEntry.objects.all() for event in entry.events]
    broadcast.refresh_from_db()
    assert events == ["canceled"] * 20
    assert broadcast.state == BroadcastState.CANCELED


def test_without_work_a_relay_looks_once_a_second(acme: Account, django_assert_num_queries: Any) -> None:
    relay = BroadcastSweep()
    relay.step()

    with django_assert_num_queries(0):
        relay.step()


def test_while_no_broadcast_is_under_way_a_look_is_one_statement(acme: Account, django_assert_num_queries: Any) -> None:
    broadcast = make_broadcast(acme)
    settle()
    broadcast.refresh_from_db()
    assert broadcast.state == BroadcastState.FINISHED

    with django_assert_num_queries(1):
        assert sweeping.sweep() == 0


@pytest.mark.parametrize("way", ["finished", "canceled"])
def test_its_end_is_announced_once_where_somebody_listens(acme: Account, way: str) -> None:
    silent, broadcast = make_broadcast(Account.objects.create(name="Globex")), make_broadcast(acme, name="July")
    Listener.objects.create(account_id=acme.id, test=False)
    if way == "canceled":
        for one in (silent, broadcast):
            broadcasts.move(one.id, "cancel")

    settle()

    [announced] = Announcement.objects.all()
    assert (announced.account_id, announced.type) == (acme.id, "broadcast.finished")
    assert announced.data == {"id": str(broadcast.id), "name": "July", "status": way}
    broadcast.refresh_from_db()
    assert announced.at == broadcast.finished_at
