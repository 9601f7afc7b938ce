"""A person who is erased is nowhere any more, and every count is what it was."""

import io
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django_celery_results.models import TaskResult

from dispatch import windows
from dispatch.models import Announcement, Attempt, BroadcastDraft, Erasure, Message, Suppression, WhatsAppWindow
from dispatch.retention import erasure, history, messages
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.api.models import IdempotencyRecord
from sendmsg.errors import ConfigurationError
from sendmsg.logs.archive import keys, locks
from tests.archiving import make_old_message, run_once
from tests.factories import (
    make_attempt,
    make_connection,
    make_inbound,
    make_letter,
    make_message,
    make_suppression,
)
from tests.stored import dump, lock_keys, opened, write_in_clear
from tests.webhooks.callbacks.driving import make_endpoint
from webhooks.callbacks.models import Callback
from webhooks.models import Inbound, InboundPart

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
ANN, BEN = "+447700900123", "+447700900124"
DIGITS = "7700900123"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_callback(account: Account, **fields: Any) -> Callback:
    endpoint = make_endpoint(account, f"https://hooks.example/{uuid4()}")
    about = {"event_id": uuid4(), "type": "message.failed", "happened_at": NOW, "due_at": NOW}
    return Callback.objects.create(endpoint=endpoint, **{**about, **fields})


def erase(number: str = ANN) -> str:
    output = io.StringIO()
    call_command("erase", number, "--reason", "request 4711", "--yes", stdout=output)
    return output.getvalue()


@pytest.fixture(params=["encrypted", "in clear"])
def stored(request: pytest.FixtureRequest, db: None) -> None:
    if request.param == "in clear":
        write_in_clear()


def everything() -> list[str]:
    """All that whoever has the keys can read of the default database."""
    return [*dump().splitlines(), *opened().splitlines()]


def fill(account: Account) -> None:
    """Ann is everywhere that a number can be; Ben is beside her."""
    connection = make_connection()
    for number in (ANN, BEN):
        text = f"Dear {number}"
        message = make_message(account, State.FAILED, to=number, body=text, metadata={"phone": number})
        make_attempt(message, outcome="refused", detail=f"{number} unknown")
        make_letter(message, detail=f"{number} unknown", note=f"called {number}")
        make_message(account, State.SENT, to=number, body=text, error_detail=f"no {number}")
        make_inbound(connection, account, sender=number, body=f"I am {number}", media=[{"name": number}])
        make_inbound(connection, sender=number.removeprefix("+"))
        part = {"reference": "1", "number": 1, "total": 2, "channel": "sms", "to": "1", "received_at": NOW}
        InboundPart.objects.create(connection=connection, provider_id=number[-3:], sender=number, body=text, **part)
        make_suppression(account, number, detail=f"{number} said so")
        data = {"id": str(message.id), "to": number, "status": "failed"}
        Announcement.objects.create(account_id=account.id, test=False, type="x", data=data, at=NOW)
        body = json.dumps({"type": "message.failed", "timestamp": "2026", "data": data})
        make_callback(account, body=body, response_body=f"thanks for {number}")
        answer = {"account_id": account.id, "mode": "live", "endpoint": "POST /v1/messages", "fingerprint": "x"}
        IdempotencyRecord.objects.create(key=uuid4().hex, status=202, body=json.dumps(data), **answer)
        draft = {"user_id": 1, "account": account, "fields": {}}
        BroadcastDraft.objects.create(content=f"to\n{number}\n".encode(), **draft)
        WhatsAppWindow.objects.create(connection=connection, number="1", recipient=windows.tail(number))
        TaskResult.objects.create(task_id=str(uuid4()), status="FAILURE", result=f"bad {number}")


def counts() -> dict[str, Any]:
    return {
        "states": sorted(Message.objects.values_list("state", flat=True)),
        "segments": sum(Message.objects.values_list("segments", flat=True)),
        "attempts": Attempt.objects.count(),
        "inbound": Inbound.objects.count(),
        "callbacks": Callback.objects.count(),
    }


def test_nobody_finds_her_anywhere_and_everything_is_still_counted(acme: Account, stored: None) -> None:
    fill(acme)
    before = counts()
    held = {
        "dispatch_message",
        "dispatch_announcement",
        "webhooks_inbound",
        "webhooks_inboundpart",
        "webhooks_callback",
    }
    held |= {"api_idempotencyrecord", "dispatch_broadcastdraft", "dispatch_suppression"}
    assert held <= {row.partition(":")[0] for row in everything() if DIGITS in row}

    erase()

    left = [row for row in everything() if DIGITS in row]
    assert [row.partition(":")[0] for row in left] == ["dispatch_suppression"]
    assert DIGITS not in dump("logs")
    assert counts() == before


def test_tables_are_looked_through_a_window_at_a_time(
    acme: Account, stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.retention.mentions.WINDOW", 2)
    for number in (BEN, ANN, BEN, ANN, ANN):
        make_callback(acme, body=json.dumps({"data": {"to": number}}))

    assert "callbacks: 3" in erase()

    assert sum(ANN in body for body in Callback.objects.values_list("body", flat=True)) == 0


def test_others_are_as_they_were(acme: Account, stored: None) -> None:
    fill(acme)
    mentioned = [row for row in everything() if BEN in row]

    erase()

    assert [row for row in everything() if BEN in row] == mentioned


def test_what_cant_be_opened_here_is_not_said_to_be_erased(acme: Account) -> None:
    make_callback(acme, body=json.dumps({"data": {"to": ANN}}))
    lock_keys()

    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS"):
        erase()

    assert Erasure.objects.get().finished_at is None


def test_who_asked_to_be_left_alone_is_still_left_alone(acme: Account) -> None:
    make_suppression(acme, ANN, reason="keyword", detail="STOP")

    erase()

    row = Suppression.objects.get()
    assert (row.recipient, row.detail) == (ANN, "")


def test_what_is_archived_is_shut_and_the_file_is_not_touched(archive: Path, acme: Account) -> None:
    of_ann, of_ben = make_old_message(acme, to=ANN), make_old_message(acme, to=BEN)
    run_once(lambda: messages.step(NOW, lambda: False))
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}

    erase()

    found = history.fetch(of_ann.id)
    assert found.erased
    assert found.message is not None
    assert found.message["state"] == "delivered"
    assert "to" not in found.message
    beside = history.fetch(of_ben.id).message
    assert beside is not None
    assert beside["to"] == BEN
    assert {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()} == before


def test_a_message_that_was_erased_first_is_archived_without_her(archive: Path, acme: Account) -> None:
    message = make_old_message(acme, to=ANN)
    erase()

    run_once(lambda: messages.step(NOW, lambda: False))

    found = history.fetch(message.id).message
    assert found is not None
    assert (found["to"], found["body"], found["body_length"]) == ("", "", 20)


def test_what_waits_is_canceled_and_what_a_worker_has_is_said(acme: Account) -> None:
    waiting = make_message(acme, State.QUEUED, to=ANN)
    flying = make_message(acme, State.SENDING, to=ANN)

    with pytest.raises(CommandError, match="1 messages are under way: run this again"):
        erase()

    waiting.refresh_from_db()
    assert (waiting.state, waiting.to, waiting.body) == (State.CANCELED, "", "")
    assert Erasure.objects.get().finished_at is None
    Message.objects.filter(pk=flying.pk).update(state=State.SENT)
    erase()
    flying.refresh_from_db()
    assert (flying.state, flying.to) == (State.SENT, "")


def test_each_run_leaves_who_did_it_why_and_how_much_but_not_the_number(
    acme: Account, caplog: pytest.LogCaptureFixture
) -> None:
    make_message(acme, State.DELIVERED, to=ANN)

    with caplog.at_level(logging.INFO):
        erase()

    audit = Erasure.objects.get()
    assert (audit.recipient, audit.reason) == (keys.fingerprint(ANN).hex(), "request 4711")
    assert audit.by.startswith("cli:")
    assert audit.counts["messages"] == 1
    assert audit.finished_at is not None
    assert DIGITS not in caplog.text
    assert "recipient erased" in caplog.text


def test_again_it_finds_nothing(acme: Account) -> None:
    fill(acme)
    erase()

    assert all(line.endswith(": 0") for line in erase().splitlines())


def test_a_callback_that_waits_is_told_without_her(acme: Account) -> None:
    data = {"id": "m1", "status": "delivered", "sequence": 2, "to": ANN, "metadata": {"name": "Ann"}}
    body = json.dumps({"type": "message.delivered", "timestamp": "2026", "data": data})
    callback = make_callback(acme, body=body)

    erase()

    callback.refresh_from_db()
    assert callback.state == "waiting"
    assert json.loads(callback.body) == {
        "type": "message.delivered",
        "timestamp": "2026",
        "data": {"id": "m1", "status": "delivered", "sequence": 2, "erased": True},
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["07700900123", "--reason", "x"], "starts with"),
        ([ANN, "--reason", " "], "1 to 300"),
        ([ANN, "--reason", f"call {ANN}"], "not the number"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("erase", *arguments, "--yes")

    assert not Erasure.objects.exists()


@pytest.mark.django_db(databases=["default", "logs"], transaction=True)
def test_nothing_is_erased_while_the_pump_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "PATIENCE", 0.2)
    with connections["logs"].copy().cursor() as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", [locks.MESSAGES])

        with pytest.raises(CommandError, match="Try again in a minute"):
            erase()

        other.execute("SELECT pg_advisory_unlock_all()")
        other.connection.close()
    erase()


def test_more_than_a_batch_is_erased(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "ROWS", 2)
    for _ in range(5):
        make_message(acme, State.DELIVERED, to=ANN)

    erase()

    assert Message.objects.filter(to="").count() == 5
