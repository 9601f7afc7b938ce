"""Every queue has its turn: lanes with room only, urgent first, accounts alike, and nothing that can't leave."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import due
from dispatch.due import Queue
from dispatch.lanes import DEFAULT, Lane
from dispatch.models import Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db

SMS = Lane(DEFAULT, False, "sms").number
WHATSAPP = Lane(DEFAULT, False, "whatsapp").number
NOW = timezone.now()


def queue(lane: int = SMS, priority: int = 1, account: int = 1) -> Queue:
    return Queue(lane, priority, UUID(int=account), NOW)


def claimed(limit: int = 100, open_ids: Collection[int] = (), each: int = 100) -> list[UUID]:
    with transaction.atomic():
        quotas = [(one, each) for one in sorted(due.queues(), key=lambda one: one.priority)]
        return [row.id for row in due.claim(quotas, open_ids, timezone.now(), limit)]


def test_each_lane_priority_and_account_is_a_queue_of_its_own(alice: Member, charlie: Member) -> None:
    now = timezone.now()
    make_message(alice.account, due_at=now)
    first = make_message(alice.account, due_at=now - timedelta(minutes=1))
    make_message(alice.account, priority=0)
    make_message(alice.account, channel="whatsapp")
    make_message(charlie.account)
    make_message(charlie.account, state=State.SENT)

    found = due.queues()

    assert {(one.lane, one.priority, one.account_id) for one in found} == {
        (SMS, 1, alice.account.id),
        (SMS, 0, alice.account.id),
        (WHATSAPP, 1, alice.account.id),
        (SMS, 1, charlie.account.id),
    }
    assert len(found) == 4
    assert [one.due_at for one in found if (one.lane, one.priority, one.account_id) == (SMS, 1, alice.account.id)] == [
        first.due_at
    ]


def test_held_rows_and_those_without_a_lane_are_in_no_queue(alice: Member) -> None:
    make_message(alice.account, lane=-SMS)
    make_message(alice.account, lane=0)

    assert due.queues() == []


def test_a_queue_costs_one_look_however_long_it_is(alice: Member, charlie: Member) -> None:
    make_message(charlie.account)
    with database.cursor() as cursor:
        first = make_message(alice.account)
        columns = [field.column for field in Message._meta.concrete_fields if field.column != "id"]
        names = ", ".join(f'"{column}"' for column in columns)
        cursor.execute(
            f"INSERT INTO dispatch_message (id, {names}) SELECT gen_random_uuid(), {names} FROM dispatch_message,"
            " generate_series(1, 20000) WHERE id = %s",
            [first.id],
        )
        cursor.execute("ANALYZE dispatch_message")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {due.QUEUES}")
        [(plan,)] = cursor.fetchall()

    def rows(node: dict[str, object]) -> float:
        children = node.get("Plans", [])
        assert isinstance(children, list)
        own = float(str(node["Actual Rows"])) * float(str(node["Actual Loops"])) if "Relation Name" in node else 0.0
        return own + sum(rows(child) for child in children)

    assert rows(plan[0]["Plan"]) < 10


def test_lanes_without_room_are_left_alone() -> None:
    shares = due.share([queue(), queue(WHATSAPP)], {SMS: 0, WHATSAPP: 5}, 100)

    assert shares == [(queue(WHATSAPP), 5)]


def test_urgent_queues_come_first_and_accounts_share_alike() -> None:
    waiting = [queue(priority=2, account=1), queue(priority=2, account=2), queue(priority=0, account=3)]

    shares = due.share(waiting, {SMS: 10}, 100)

    assert shares[0] == (queue(priority=0, account=3), 10)
    assert set(shares[1:]) == {(queue(priority=2, account=1), 5), (queue(priority=2, account=2), 5)}


def test_accounts_take_turns_within_a_priority(alice: Member, charlie: Member) -> None:
    owners = {}
    for number in range(6):
        for member in (alice, charlie):
            message = make_message(member.account, due_at=timezone.now() - timedelta(minutes=10 - number))
            owners[message.id] = member.account.id

    order = [owners[one] for one in claimed()]

    assert all({order[at], order[at + 1]} == {alice.account.id, charlie.account.id} for at in range(0, 12, 2))


def test_the_limit_falls_on_what_is_least_urgent(alice: Member) -> None:
    bulk = [make_message(alice.account, priority=2) for _ in range(3)]
    high = [make_message(alice.account, priority=0) for _ in range(2)]

    found = claimed(limit=3)

    assert set(found[:2]) == {message.id for message in high}
    assert found[2] in {message.id for message in bulk}


def test_what_is_not_due_or_overdue_is_not_claimed(alice: Member) -> None:
    now = timezone.now()
    make_message(alice.account, due_at=now + timedelta(minutes=1))
    make_message(alice.account, expires_at=now - timedelta(seconds=1))
    make_message(alice.account, in_doubt=True, connection=make_connection(), doubt_until=now - timedelta(seconds=1))

    assert claimed() == []


def test_what_may_only_leave_by_one_connection_waits_for_that_one_and_stands_before_nobody(alice: Member) -> None:
    busy, free = make_connection("busy"), make_connection("free")
    now = timezone.now()
    for minutes in range(5, 10):
        at = now - timedelta(minutes=minutes)
        make_message(alice.account, in_doubt=True, connection=busy, due_at=at)
        make_message(alice.account, chosen_connection=busy, due_at=at)
    doubtful = make_message(alice.account, in_doubt=True, connection=free)
    plain = make_message(alice.account)

    assert set(claimed(open_ids=[free.pk], each=2)) == {doubtful.id, plain.id}


def test_a_claim_is_one_statement(alice: Member) -> None:
    for number in range(6):
        make_message(alice.account, priority=number % 3)
    quotas = [(one, 10) for one in due.queues()]

    with transaction.atomic(), CaptureQueriesContext(database) as queries:
        assert len(due.claim(quotas, [], timezone.now(), 100)) == 6
    assert len([one for one in queries if one["sql"].startswith("EXECUTE")]) == 1
