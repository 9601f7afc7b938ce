"""The archive pump: days ahead, nothing older than it may be, and no more than one at a time."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest import mock
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch.models import ConnectionEvent, DeadLetter, Message
from dispatch.retention import messages, sweeps
from dispatch.retention.batches import batch
from dispatch.retention.pump import ArchivePump
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.ids import first_id
from sendmsg.logs import partitions
from sendmsg.logs.archive import locks
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.measures import age, timeline
from sendmsg.logs.models import ArchiveFile, ArchiveKey, ClearedDay, Event, RecipientKey
from sendmsg.telemetry import gauges
from tests.archiving import OLD, make_old_message, run_once
from tests.factories import make_connection, make_inbound, make_message, make_receipt
from tests.logs.lines import line, write
from webhooks.models import Inbound, InboundPart, Receipt
from webhooks.retention import inbound, orphans

pytestmark = [
    pytest.mark.django_db(databases=["default", "logs"], transaction=True),
    pytest.mark.usefixtures("old_days"),
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read() -> dict[gauges.Gauge, float]:
    return {reading.gauge: reading.value for reading in timeline()}


def test_today_and_the_next_days_have_their_partitions() -> None:
    ArchivePump().step()

    today = datetime.now(UTC).date()
    made = {table.day for table in partitions.tables()}
    assert {today + timedelta(days=number) for number in range(4)} <= made
    assert read()[gauges.PARTITIONS_AHEAD] == 3


def test_it_does_all_there_is_to_do(archive: Path, acme: Account, settings: Settings) -> None:
    settings.ARCHIVE_RETENTION_DAYS = 0
    make_old_message(acme)
    write([line(at=OLD)])
    long = make_message(acme, State.DELIVERED, body="x" * 200, updated_at=timezone.now() - timedelta(days=40))

    run_once(ArchivePump().step)

    assert list(Message.objects.values_list("id", "body_length")) == [(long.id, 200)]
    assert not Event.objects.exists()
    assert {entry.kind for entry in ArchiveFile.objects.all()} == {"events", "messages"}


def test_without_an_archive_nothing_leaves_and_texts_are_still_shortened(
    acme: Account, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make_old_message(acme, body="x" * 200)
    write([line(at=OLD)])

    run_once(ArchivePump().step)

    kept.refresh_from_db()
    assert kept.body_length == 200
    assert Event.objects.count() == 1
    assert "ARCHIVE_URL is empty" in caplog.text


def test_while_another_archives_it_does_the_rest(archive: Path, acme: Account) -> None:
    kept = make_old_message(acme)
    with connections["logs"].copy().cursor() as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", [locks.MESSAGES])

        run_once(ArchivePump().step)

        assert Message.objects.get() == kept
        other.execute("SELECT pg_advisory_unlock_all()")
        other.connection.close()
    run_once(ArchivePump().step)
    assert not Message.objects.exists()


def test_what_fails_holds_up_nothing_else(archive: Path, acme: Account) -> None:
    make_old_message(acme)
    write([line(at=OLD)])
    with mock.patch.object(messages, "_write", side_effect=OSError("no space")):
        for _ in range(4):
            with pytest.raises(OSError, match="no space"):
                ArchivePump().step()

    assert not Event.objects.exists()
    assert Message.objects.count() == 1


def test_the_archive_is_as_far_behind_as_its_oldest_day_is_late() -> None:
    leaving = Leaving(datetime(2026, 3, 1, 6, tzinfo=UTC), timedelta(days=30))

    assert age([], leaving, {}) == timedelta()
    assert age([date(2026, 2, 27)], leaving, {}) == timedelta()
    assert age([date(2026, 1, 29)], leaving, {}) == timedelta(hours=6)  # 30 days after its end
    assert age([date(2026, 2, 27), date(2026, 1, 28)], leaving, {}) == timedelta(days=1, hours=6)


def test_a_day_of_which_all_that_is_left_may_stay_is_not_late() -> None:
    own = {UUID(int=1): timedelta(days=2), UUID(int=2): timedelta(days=60)}
    leaving = Leaving(datetime(2026, 3, 1, 6, tzinfo=UTC), timedelta(days=30), own)
    day = date(2026, 1, 15)
    staying = ClearedDay(day=day, staying=[UUID(int=2)], looked_at=leaving.now)
    behind = ClearedDay(day=day, staying=[UUID(int=2), UUID(int=3)], looked_at=leaving.now)

    assert age([date(2026, 2, 25)], leaving, {}) == timedelta(days=1, hours=6)  # of the first account
    assert age([day], leaving, {day: staying}) == timedelta()
    assert age([day], leaving, {day: behind}) == timedelta(days=14, hours=6)


def test_how_far_it_is_behind_is_measured(archive: Path) -> None:
    with transaction.atomic(using="logs"):
        partitions.ensure_day(OLD.date())

    assert read()[gauges.ARCHIVE_AGE] > timedelta(days=365).total_seconds()
    run_once(ArchivePump().step)
    assert read()[gauges.ARCHIVE_AGE] == 0


def test_without_an_archive_nothing_is_behind() -> None:
    with transaction.atomic(using="logs"):
        partitions.ensure_day(OLD.date())

    assert gauges.ARCHIVE_AGE not in read()


def test_old_messages_from_people_and_receipts_of_no_message_go(acme: Account) -> None:
    link = make_connection()
    hasty = Account.objects.create(name="Globex", message_days=10)
    old, week = first_id(OLD), first_id(NOW - timedelta(days=20))
    whole = make_inbound(link, acme, id=old)
    part = {"reference": "1", "number": 1, "total": 1, "channel": "sms", "to": "1", "received_at": OLD}
    InboundPart.objects.create(connection=link, provider_id="p", sender="1", whole=whole, **part)
    make_inbound(link, id=first_id(OLD + timedelta(hours=1)))  # nobody's
    make_inbound(link, hasty, id=week)
    kept = make_inbound(link, acme, id=first_id(NOW - timedelta(days=21)))
    make_receipt(link, "a", "delivered", state="orphaned", received_at=OLD)
    young = make_receipt(link, "b", "delivered", state="orphaned", received_at=NOW)
    parked = make_receipt(link, "c", "delivered", received_at=OLD)

    run_once(lambda: inbound(NOW))
    run_once(lambda: orphans(NOW))

    assert list(Inbound.objects.values_list("id", flat=True)) == [kept.id]
    assert set(Receipt.objects.all()) == {young, parked}


def test_handled_letters_of_tasks_and_old_histories_go() -> None:
    link = make_connection()
    old = {"reason": "poison", "queue": "deliver.x", "id": first_id(OLD)}
    DeadLetter.objects.create(**old, state="discarded", handled_at=OLD)
    waiting = DeadLetter.objects.create(**{**old, "id": first_id(OLD + timedelta(hours=1))})
    for at in (OLD, NOW):
        event = ConnectionEvent.objects.create(connection=link, change="opened")
        ConnectionEvent.objects.filter(pk=event.pk).update(at=at)

    run_once(lambda: sweeps.letters(NOW))
    run_once(lambda: sweeps.history(NOW))

    assert DeadLetter.objects.get() == waiting
    assert ConnectionEvent.objects.get().at == NOW


def test_files_and_keys_go_when_their_account_says_so(archive: Path, acme: Account) -> None:
    forever = Account.objects.create(name="Globex", archive_days=0)
    for account in (acme, forever):
        make_old_message(account)
    make_old_message(acme, at=NOW - timedelta(days=100))
    run_once(lambda: messages.step(NOW, lambda: False))
    assert ArchiveFile.objects.count() == 3

    run_once(lambda: sweeps.archived(NOW))

    left = {(entry.account_id, entry.day.year) for entry in ArchiveFile.objects.all()}
    assert left == {(acme.id, 2025), (forever.id, 2020)}
    assert RecipientKey.objects.count() == 2  # of 2020, which Globex still has, and of 2025
    ArchiveFile.objects.filter(account_id=forever.id).delete()
    run_once(lambda: sweeps.archived(NOW))
    assert {key.month.year for key in ArchiveKey.objects.all()} == {2025}
    assert {key.month.year for key in RecipientKey.objects.all()} == {2025}


def test_keys_are_left_alone_while_somebody_writes_a_file(archive: Path) -> None:
    RecipientKey.objects.create(month=OLD.date().replace(day=1), recipient=b"r", secret=b"s")
    ArchiveFile.objects.create(
        kind="events",
        account_id=first_id(NOW),
        day=NOW.date(),
        part=1,
        name="x",
        rows=1,
        bytes=1,
        sha256="",
        first_message=first_id(NOW),
        last_message=first_id(NOW),
        written_at=NOW,
    )
    with connections["logs"].copy().cursor() as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", [locks.MESSAGES])
        assert sweeps.archived(NOW) == 0
        other.execute("SELECT pg_advisory_unlock_all()")
        other.connection.close()

    assert sweeps.archived(NOW) == 1


def test_a_batch_waits_half_a_second_for_a_lock_at_most() -> None:
    with batch(), connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("500ms",)
