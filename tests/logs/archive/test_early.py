"""An account's events leave after its own days, though others' of the same day stay."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import pytest

from sendmsg.accounts.models import Account
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.archive import early, export, files, timeline
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.models import ArchiveFile, ClearedDay, Event
from tests.archiving import OLD, killed_at, old_id, run_once
from tests.logs.archive.test_timeline import ids, old_tables
from tests.logs.lines import line, write

pytestmark = [
    pytest.mark.django_db(databases=["default", "logs"], transaction=True),
    pytest.mark.usefixtures("old_days"),
]
ACME, GLOBEX = UUID(int=1), UUID(int=2)
NOW = datetime(2020, 12, 31, tzinfo=UTC)
YEARS = timedelta(days=10_000)
WEEK = timedelta(days=7)
GLOBEX_STAYS = Leaving(NOW, WEEK, {GLOBEX: YEARS})
ALL_LEAVE = Leaving(NOW, WEEK)


def store(account: UUID, *times: datetime) -> list[str]:
    events = [line(at=at, message=old_id(at), account=str(account)) for at in times or (OLD,)]
    write(events)
    return sorted(str(event["id"]) for event in events)


def leave(leaving: Leaving) -> int:
    return run_once(lambda: timeline.step(leaving, lambda: False))


def hot() -> list[str]:
    return sorted(str(key) for key in Event.objects.values_list("id", flat=True))


def test_an_account_with_fewer_days_leaves_and_the_others_stay(archive: Path) -> None:
    gone, stayed = store(ACME, OLD, OLD), store(GLOBEX)

    leave(Leaving(NOW, YEARS, {ACME: WEEK}))

    assert (ids(archive), hot()) == (gone, stayed)
    [entry] = ArchiveFile.objects.all()
    assert (entry.account_id, entry.rows, bool(entry.emptied_at)) == (ACME, 2, True)
    assert old_tables() == ["logs_event_20200105"]


def test_an_account_with_more_days_stays_and_the_others_leave(archive: Path) -> None:
    gone, stayed = store(ACME), store(GLOBEX)

    leave(GLOBEX_STAYS)

    assert (ids(archive), hot()) == (gone, stayed)


def test_the_last_ones_leave_with_the_day(archive: Path) -> None:
    stored = store(ACME) + store(GLOBEX)
    leave(GLOBEX_STAYS)

    leave(ALL_LEAVE)

    assert ids(archive) == sorted(stored)
    assert old_tables() == []
    assert not ClearedDay.objects.exists()


def test_a_day_that_was_seen_to_is_not_counted_at_each_look(archive: Path) -> None:
    store(ACME)
    store(GLOBEX)
    leave(GLOBEX_STAYS)

    with mock.patch.object(export, "counts", side_effect=AssertionError("counted")):
        assert leave(GLOBEX_STAYS) == 0


def test_younger_days_are_seen_to_behind_one_that_stays(archive: Path) -> None:
    kept = store(GLOBEX, OLD)
    gone = store(ACME, OLD + timedelta(days=1))

    leave(GLOBEX_STAYS)

    assert (ids(archive), hot()) == (gone, kept)
    assert old_tables() == ["logs_event_20200105"]  # the other one was empty then


def test_what_comes_too_late_leaves_within_a_week(archive: Path) -> None:
    early_one, stayed = store(ACME), store(GLOBEX)
    leave(GLOBEX_STAYS)
    late = store(ACME)

    leave(GLOBEX_STAYS)
    assert hot() == sorted(late + stayed)

    leave(Leaving(NOW + timedelta(days=8), WEEK, GLOBEX_STAYS.own))
    assert (ids(archive), hot()) == (sorted(early_one + late), stayed)
    assert [entry.part for entry in ArchiveFile.objects.all()] == [1, 2]


def test_an_account_whose_days_were_shortened_leaves_at_the_next_look(archive: Path) -> None:
    store(ACME)
    gone, stayed = store(GLOBEX), store(UUID(int=3))
    long = {GLOBEX: YEARS, UUID(int=3): YEARS}
    leave(Leaving(NOW, WEEK, long))

    leave(Leaving(NOW, WEEK, {UUID(int=3): YEARS}))

    assert hot() == stayed
    assert set(gone) < set(ids(archive))


def test_what_comes_while_the_file_is_written_is_written_too(archive: Path) -> None:
    first = store(ACME)
    store(GLOBEX)
    late: list[str] = []
    write_file = export.write

    def slip_in(*arguments: Any) -> bool:
        done = write_file(*arguments)
        if not late:
            late.extend(store(ACME))
        return done

    with mock.patch.object(export, "write", slip_in):
        leave(GLOBEX_STAYS)

    assert ids(archive) == sorted(first + late)
    assert not Event.objects.filter(account_id=ACME).exists()


def test_what_can_not_be_read_back_is_not_deleted(archive: Path) -> None:
    store(ACME)
    store(GLOBEX)
    assert timeline.step(GLOBEX_STAYS, lambda: False) == 1  # written, and about to leave
    [entry] = ArchiveFile.objects.all()
    (archive / entry.name).write_bytes(b"nothing of the kind")

    with pytest.raises(ArchiveDamaged):
        timeline.step(GLOBEX_STAYS, lambda: False)

    assert Event.objects.count() == 2
    assert ArchiveFile.objects.get().emptied_at is None


def test_a_file_whose_rows_have_begun_to_leave_is_not_written_again(archive: Path) -> None:
    stored, kept = store(ACME, OLD, OLD, OLD), store(GLOBEX)
    with mock.patch.object(early, "ROWS", 1):
        timeline.step(GLOBEX_STAYS, lambda: False)
        asked = iter([False, True])
        assert timeline.step(GLOBEX_STAYS, lambda: next(asked)) == 0
    assert Event.objects.filter(account_id=ACME).count() == 2

    with mock.patch.object(files, "write", wraps=files.write) as write_file:
        leave(ALL_LEAVE)  # ACME's file is finished, then GLOBEX leaves with the day

    assert [call.args[0].account_id for call in write_file.call_args_list] == [GLOBEX]
    assert sorted(ids(archive)) == sorted(stored + kept)


@pytest.mark.parametrize(
    ("point", "after", "call"),
    [
        ("sendmsg.logs.models:ArchiveFile.save", True, 1),  # the file is there, and nothing has begun to leave
        ("sendmsg.logs.archive.early:begin", True, 1),
        ("sendmsg.logs.archive.early:_empty", False, 1),
        ("sendmsg.logs.archive.early:islice", False, 2),  # the first rows are deleted, the rest is not
        ("sendmsg.logs.archive.early:_empty", True, 1),
        ("sendmsg.logs.archive.early:remember", False, 1),
    ],
)
@pytest.mark.parametrize("then", [GLOBEX_STAYS, ALL_LEAVE], ids=["one stays", "all leave"])
def test_killed_anywhere_it_goes_on_and_nothing_is_lost_or_twice(
    archive: Path, point: str, after: bool, call: int, then: Leaving
) -> None:
    globex = Account.objects.create(name="Globex", id=GLOBEX, timeline_days=30_000)
    gone = store(ACME, *[OLD] * (early.ROWS + 1))
    stayed = store(globex.id)

    killed_at(point, archive, after=after, call=call)
    leave(then)

    everything = sorted(gone + stayed)
    assert (ids(archive), hot()) == ((gone, stayed) if then == GLOBEX_STAYS else (everything, []))
    assert all(entry.emptied_at for entry in ArchiveFile.objects.all())


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_days_are_each_event_is_in_one_place_and_no_longer_than_it_may_be(
    archive: Path, seed: int
) -> None:
    chance = random.Random(seed)
    accounts = [UUID(int=number) for number in range(1, 5)]
    stored: dict[str, tuple[UUID, datetime]] = {}
    own: dict[UUID, timedelta] = {}
    over: set[str] = set()
    for _ in range(15):
        now = OLD + timedelta(days=len(stored) // 4 + 1)
        for _ in range(4):
            account, at = chance.choice(accounts), now - timedelta(days=chance.choice([0, 0, 0, 5]))
            stored |= dict.fromkeys(store(account, at), (account, at))
        if chance.random() < 0.5:
            own[chance.choice(accounts)] = timedelta(days=chance.randint(1, 12))
        leaving = Leaving(now, timedelta(days=4), dict(own))
        ClearedDay.objects.update(looked_at=OLD - YEARS)  # what came too late is looked for
        leave(leaving)

        now_over = {key for key, (account, at) in stored.items() if leaving.has(account, at.date())}
        over |= now_over
        assert sorted(hot() + ids(archive)) == sorted(stored)
        assert not now_over & set(hot())
        assert over >= set(ids(archive))
