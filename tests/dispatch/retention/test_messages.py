"""Old messages leave for the archive with all that belongs to them, and only as they were archived."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from dispatch.models import Attempt, DeadLetter, Message, ProviderReference
from dispatch.retention import history, messages
from dispatch.retention.lines import columns, lines
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.errors import ArchiveDamaged, ConfigurationError
from sendmsg.logs.archive import files, parquet
from sendmsg.logs.archive.keys import Sealer
from sendmsg.logs.models import ArchiveFile, RecipientKey
from tests.archiving import OLD, killed_at, make_old_message, run_once
from tests.factories import make_attempt, make_letter, make_receipt, make_reference
from tests.stored import lock_keys, lose_keys
from webhooks.models import Enquiry, Receipt

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
both_for_real = pytest.mark.django_db(databases=["default", "logs"], transaction=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def leave(now: datetime = NOW) -> None:
    run_once(lambda: messages.step(now, lambda: False))


def with_everything(account: Account, **fields: Any) -> Message:
    message = make_old_message(account, **{"state": State.FAILED, "tries": 1, **fields})
    make_attempt(message, outcome="refused", code="invalid_recipient", detail="+447700900000 is no number")
    make_reference(message, "snd_1")
    make_letter(message, detail="no such number", state="discarded", note="seen to")
    assert message.connection is not None
    make_receipt(message.connection, "snd_1", "undelivered", message=message, state="applied")
    Enquiry.objects.create(message=message, connection=message.connection, ask_at=OLD)
    return message


def test_a_message_leaves_with_all_that_belongs_to_it(archive: Path, acme: Account) -> None:
    message = with_everything(acme, client_reference="order-1", metadata={"cart": "7"})

    leave()

    for model in (Message, Attempt, ProviderReference, DeadLetter, Receipt, Enquiry):
        assert not model._default_manager.exists(), model
    found = history.fetch(message.id).message
    assert found is not None
    assert (found["id"], found["state"], found["to"], found["body"]) == (
        *(str(message.id), "failed"),
        *("+447700900000", "Your code is 123456."),
    )
    assert (found["client_reference"], found["metadata"]) == ("order-1", {"cart": "7"})
    assert found["attempts"][0]["code"] == "invalid_recipient"
    assert found["attempts"][0]["detail"] == "+447700900000 is no number"
    assert found["letters"][0]["note"] == "seen to"
    assert found["receipts"][0]["status"] == "undelivered"
    assert found["provider_ids"][0]["value"] == "snd_1"


def test_the_file_shows_nobody_who_got_what(archive: Path, acme: Account) -> None:
    with_everything(acme, client_reference="order-1", metadata={"cart": "7"})

    leave()

    [line] = list(files.read(ArchiveFile.objects.get()))
    for private in ("7700900000", "Your code", "order-1", "cart", "no such number", "snd_1"):
        assert private not in str(line)
    assert line["state"] == "failed"


def test_parquet_has_a_column_for_whatever_a_line_holds(archive: Path, acme: Account) -> None:
    message, file = with_everything(acme, send_at=OLD, metadata={"cart": "7"}), io.BytesIO()
    [(_, line)] = lines([message], Sealer(acme.id, OLD.date()))

    parquet.pack([line], file, "gzip", columns())

    assert list(parquet.unpack(file, str(message.id))) == [json.loads(line)]


def test_without_the_key_of_its_text_a_message_stays(archive: Path, acme: Account) -> None:
    make_old_message(acme)
    lock_keys()

    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS"):
        leave()

    assert Message.objects.exists()
    assert not ArchiveFile.objects.exists()


def test_a_text_whose_key_is_gone_for_good_is_archived_as_it_is(archive: Path, acme: Account) -> None:
    message = make_old_message(acme)
    lose_keys()

    leave()

    found = history.fetch(message.id).message
    assert found is not None
    assert found["body"].startswith("sealed:1:")
    assert not Message.objects.exists()


def test_what_is_young_or_not_final_stays(archive: Path, acme: Account) -> None:
    make_old_message(acme)
    waiting = make_old_message(acme, state=State.QUEUED, expires_at=NOW)
    young = make_old_message(acme, at=NOW - timedelta(days=89))

    leave()

    assert set(Message.objects.values_list("id", flat=True)) == {waiting.id, young.id}


def test_an_account_may_have_its_own_days(archive: Path, acme: Account) -> None:
    globex = Account.objects.create(name="Globex", message_days=10)
    kept = make_old_message(acme, at=NOW - timedelta(days=20))
    make_old_message(globex, at=NOW - timedelta(days=20))

    leave()

    assert Message.objects.get().id == kept.id


def test_each_day_and_account_has_a_file(archive: Path, acme: Account) -> None:
    globex = Account.objects.create(name="Globex")
    for account in (acme, globex):
        make_old_message(account)
        make_old_message(account, at=OLD + timedelta(days=1))

    leave()

    entries = list(ArchiveFile.objects.all())
    assert len(entries) == 4
    assert {entry.kind for entry in entries} == {"messages"}
    assert all(entry.emptied_at and entry.rows == 1 for entry in entries)


def test_a_crowd_makes_several_files_and_is_read_a_few_at_a_time(
    archive: Path, acme: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MOST", 4)
    monkeypatch.setattr(messages, "READ", 2)
    ids = {make_old_message(acme).id for _ in range(9)}

    leave()

    assert [entry.rows for entry in ArchiveFile.objects.all()] == [4, 4, 1]
    assert all(history.fetch(message_id).message for message_id in ids)


def test_one_that_changes_before_it_is_deleted_stays_and_is_archived_as_it_is_then(
    archive: Path, acme: Account
) -> None:
    message = make_old_message(acme, state=State.UNKNOWN)
    empty = messages._empty

    def deliver(entry: ArchiveFile, stopping: Any) -> int:
        Message.objects.filter(state=State.UNKNOWN).update(state=State.DELIVERED, updated_at=NOW)
        return empty(entry, stopping)

    with mock.patch.object(messages, "_empty", deliver):
        messages.step(NOW, lambda: False)
    assert Message.objects.get().state == State.DELIVERED

    leave()

    assert not Message.objects.exists()
    found = history.fetch(message.id).message
    assert found is not None
    assert found["state"] == "delivered"
    assert [entry.part for entry in ArchiveFile.objects.all()] == [1, 2]


def test_asked_to_stop_it_stops_and_goes_on_with_the_same_file(archive: Path, acme: Account) -> None:
    make_old_message(acme)

    assert messages.step(NOW, lambda: True) == 0
    assert Message.objects.count() == 1

    leave()
    assert ArchiveFile.objects.count() == 1
    assert not Message.objects.exists()


def test_a_file_that_was_damaged_before_its_rows_were_deleted_deletes_nothing(archive: Path, acme: Account) -> None:
    make_old_message(acme)
    messages.step(NOW, lambda: True)  # written, and asked to stop
    [path] = archive.rglob("*.gz")
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ArchiveDamaged):
        leave()

    assert Message.objects.count() == 1


def test_recipients_share_a_month_of_keys(archive: Path, acme: Account) -> None:
    for number in range(6):
        make_old_message(acme, to=f"+44770090000{number % 3}")

    leave()

    assert RecipientKey.objects.count() == 3


def test_a_batch_costs_a_bounded_number_of_queries(archive: Path, acme: Account) -> None:
    def cost(count: int) -> int:
        for _ in range(count):
            with_everything(acme, to=f"+4477009{Message.objects.count():05}") if count == 0 else make_old_message(acme)
        with CaptureQueriesContext(connection) as here, CaptureQueriesContext(connections["logs"]) as there:
            leave()
        return len(here) + len(there)

    cost(1)  # makes the keys
    assert cost(40) == cost(2)


@both_for_real
@pytest.mark.parametrize(
    ("point", "after"),
    [
        ("sendmsg.logs.archive.files:_save", True),
        ("sendmsg.logs.archive.keys:Sealer.expect", True),
        ("sendmsg.logs.models:ArchiveFile.save", True),
        ("dispatch.retention.messages:_delete", False),
        ("dispatch.retention.messages:_delete", True),
    ],
)
def test_killed_anywhere_nothing_is_lost_and_nothing_is_archived_twice(
    archive: Path, acme: Account, point: str, after: bool
) -> None:
    ids = [make_old_message(acme).id for _ in range(5)]

    killed_at(point, archive, after=after)
    leave()

    assert not Message.objects.exists()
    lines = [line["id"] for entry in ArchiveFile.objects.all() for line in files.read(entry)]
    assert sorted(lines) == sorted(map(str, ids))
    assert all(history.fetch(message_id).message for message_id in ids)
