"""A day of the timeline leaves for the archive whole, or it stays."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connections, transaction

from sendmsg.errors import ArchiveDamaged
from sendmsg.journal.models import JournalEntry
from sendmsg.logs import partitions
from sendmsg.logs.archive import export, files, timeline
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.models import ArchiveFile, Event
from sendmsg.logs.partitions import Table
from sendmsg.logs.writer import LogWriter
from tests.archiving import OLD, killed_at, old_id, run_once
from tests.logs.lines import line, write

pytestmark = [
    pytest.mark.django_db(databases=["default", "logs"], transaction=True),
    pytest.mark.usefixtures("old_days"),
]
AFTER = Leaving(datetime(2020, 12, 31, tzinfo=UTC), timedelta())
ACME, GLOBEX = UUID(int=1), UUID(int=2)


def store(account: UUID = ACME, at: datetime = OLD, **fields: Any) -> str:
    event = line(at=at, message=old_id(at), account=str(account), **fields)
    write([event])
    return str(event["id"])


def leave() -> int:
    return run_once(lambda: timeline.step(AFTER, lambda: False))


def archived(folder: Path) -> list[dict[str, Any]]:
    """The lines of all files that the index knows."""
    paths = [folder / entry.name for entry in ArchiveFile.objects.all()]
    return [json.loads(text) for path in paths for text in gzip.decompress(path.read_bytes()).splitlines()]


def ids(folder: Path) -> list[str]:
    return sorted(event["id"] for event in archived(folder))


def old_tables() -> list[str]:
    return [table.name for table in partitions.tables() if table.day.year == OLD.year]


def test_each_account_has_a_file_of_the_day_and_the_day_is_gone(archive: Path) -> None:
    stored = [store(ACME), store(ACME), store(GLOBEX, at=OLD + timedelta(hours=3))]

    leave()

    entries = list(ArchiveFile.objects.all())
    assert [(entry.account_id, entry.rows, entry.part) for entry in entries] == [(ACME, 2, 1), (GLOBEX, 1, 1)]
    assert entries[0].name == f"events/{ACME}/2020/01/2020-01-05.1.ndjson.gz"
    assert all(entry.emptied_at for entry in entries)
    assert ids(archive) == sorted(stored)
    assert old_tables() == []
    assert not Event.objects.exists()


def test_a_line_is_the_event_as_it_was(archive: Path) -> None:
    at = datetime(2020, 1, 5, 23, 59, 59, 999_999, tzinfo=UTC)
    stored = store(at=at, type="sent", data={"code": "ü", "attempt": 2})

    leave()

    [event] = archived(archive)
    assert {name: event[name] for name in ("id", "type", "data")} == {
        "id": stored,
        "type": "sent",
        "data": {"code": "ü", "attempt": 2},
    }
    assert datetime.fromisoformat(event["at"]) == at


def test_beside_each_file_is_a_manifest_that_is_enough_to_check_it(archive: Path) -> None:
    store()
    leave()
    [entry] = ArchiveFile.objects.all()

    manifest = json.loads((archive / f"{entry.name}.manifest.json").read_text())

    assert manifest == files.manifest(entry)
    assert (manifest["rows"], manifest["sha256"], manifest["day"]) == (1, entry.sha256, "2020-01-05")


def test_the_oldest_day_goes_first_and_young_ones_stay(archive: Path) -> None:
    store(at=OLD)
    store(at=OLD - timedelta(days=1))

    run_once(lambda: timeline.step(Leaving(OLD, timedelta()), lambda: False))

    assert [entry.day for entry in ArchiveFile.objects.all()] == [OLD.date() - timedelta(days=1)]
    assert old_tables() == ["logs_event_20200105"]


def test_an_event_that_comes_for_a_day_that_is_gone_is_archived_too(archive: Path) -> None:
    early = store()
    leave()
    late = store()

    leave()

    assert [entry.part for entry in ArchiveFile.objects.all()] == [1, 2]
    assert ids(archive) == sorted([early, late])


def test_an_event_of_a_day_that_has_left_makes_it_anew(archive: Path) -> None:
    store()
    leave()
    late = line(at=OLD)
    JournalEntry.objects.create(text=json.dumps([late]))

    LogWriter().step()

    assert [str(event.id) for event in Event.objects.all()] == [late["id"]]
    assert not JournalEntry.objects.exists()


def test_an_event_that_comes_between_the_file_and_the_drop_is_in_the_file(archive: Path) -> None:
    early = store()
    take_off = partitions.take_off
    late: list[str] = []

    def slip_in(table: Table) -> Table:
        late.append(store())
        return take_off(table)

    with mock.patch.object(partitions, "take_off", slip_in):
        leave()

    assert ids(archive) == sorted([early, *late])
    assert [(entry.part, entry.rows) for entry in ArchiveFile.objects.all()] == [(1, 2)]


def test_what_was_not_read_back_as_written_is_not_dropped(archive: Path) -> None:
    store()
    save = files._save

    def spoil(name: str, content: Any) -> None:
        save(name, content)
        if name.endswith(".gz"):
            (archive / name).write_bytes((archive / name).read_bytes()[:-1])

    with mock.patch.object(files, "_save", spoil), pytest.raises(ArchiveDamaged):
        leave()

    assert Event.objects.count() == 1
    assert not ArchiveFile.objects.exists()
    leave()
    assert not Event.objects.exists()


def test_a_count_that_differs_keeps_the_day(archive: Path) -> None:
    store()
    timeline.step(AFTER, lambda: False)  # written, and taken off
    ArchiveFile.objects.update(rows=7)

    timeline.step(AFTER, lambda: False)

    assert old_tables() == ["logs_event_20200105_off"]  # written again instead
    assert ArchiveFile.objects.get().rows == 1


def test_a_reader_holds_the_timeline_up_for_half_a_second_at_most(archive: Path) -> None:
    store()
    with connections["logs"].copy().cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM logs_event")

        with pytest.raises(OperationalError, match="lock timeout"):
            leave()

        cursor.execute("COMMIT")
        cursor.connection.close()
    leave()
    assert old_tables() == []


def test_asked_to_stop_it_stops_after_a_file_and_goes_on_with_the_next(archive: Path) -> None:
    store(ACME)
    store(GLOBEX)
    asked = iter([False, True])

    assert timeline.step(AFTER, lambda: next(asked)) == 0
    assert [entry.account_id for entry in ArchiveFile.objects.all()] == [ACME]

    leave()
    assert {entry.account_id for entry in ArchiveFile.objects.all()} == {ACME, GLOBEX}


@pytest.mark.parametrize(
    ("point", "after"),
    [
        ("sendmsg.logs.archive.files:_save", False),
        ("sendmsg.logs.archive.files:_save", True),  # the file is there, and nobody knows of it
        ("sendmsg.logs.archive.files:verify", True),
        ("sendmsg.logs.models:ArchiveFile.save", False),
        ("sendmsg.logs.models:ArchiveFile.save", True),  # one account of two is done
        ("sendmsg.logs.partitions:take_off", False),
        ("sendmsg.logs.partitions:take_off", True),
        ("sendmsg.logs.partitions:drop", True),  # before its transaction is committed
        ("sendmsg.logs.archive.timeline:_drop", True),
    ],
)
def test_killed_anywhere_it_goes_on_and_nothing_is_lost_or_twice(archive: Path, point: str, after: bool) -> None:
    stored = [store(ACME), store(GLOBEX), store(GLOBEX)]

    killed_at(point, archive, after=after)
    late = store(ACME)
    leave()

    assert ids(archive) == sorted([*stored, late])
    assert old_tables() == []
    assert all(entry.emptied_at for entry in ArchiveFile.objects.all())


def test_many_accounts_are_read_in_one_pass(archive: Path) -> None:
    with transaction.atomic(using="logs"):
        write([line(at=OLD, message=old_id(), account=str(UUID(int=number % 20 + 1))) for number in range(400)])
    with mock.patch.object(export, "_rows", wraps=export._rows) as passes:
        leave()

    assert passes.call_count == 1
    assert sum(entry.rows for entry in ArchiveFile.objects.all()) == 400


def test_a_day_without_events_is_dropped_without_a_file(archive: Path) -> None:
    with transaction.atomic(using="logs"):
        partitions.ensure_day(OLD.date())

    leave()

    assert old_tables() == []
    assert not ArchiveFile.objects.filter(day=OLD.date()).exists()


def test_the_index_of_a_file_names_the_ends_of_its_messages(archive: Path) -> None:
    messages = sorted(uuid4() for _ in range(3))
    write([line(at=OLD, message=message, account=str(ACME)) for message in messages])

    leave()

    entry = ArchiveFile.objects.get()
    assert (entry.first_message, entry.last_message) == (messages[0], messages[-1])
