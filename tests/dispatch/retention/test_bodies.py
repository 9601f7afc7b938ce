"""Long texts are shortened when their message has been final for long enough, and are never sent after that."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dispatch import replays, transitions
from dispatch.changes import Change
from dispatch.models import Message
from dispatch.retention import bodies
from dispatch.states import FINAL, State
from sendmsg.accounts.models import Account
from sendmsg.errors import ConfigurationError
from sendmsg.logs.archive import keys
from sendmsg.sealing import keys as keys_of_texts
from sendmsg.sealing.fields import gone
from tests.archiving import run_once
from tests.factories import make_letter, make_message
from tests.stored import dump, lock_keys, lose_keys, write_in_clear

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
NOW = datetime(2026, 6, 1, tzinfo=UTC)
OVER = NOW - timedelta(days=31)
TEXT = "Grüße! " * 40


@pytest.fixture(autouse=True, params=["encrypted", "in clear"])
def stored(request: pytest.FixtureRequest, db: None) -> None:
    if request.param == "in clear":
        write_in_clear()


def make(account: Account, state: State = State.DELIVERED, at: datetime = OVER, body: str = TEXT) -> Message:
    return make_message(account, state, body=body, updated_at=at)


def shorten() -> None:
    run_once(lambda: bodies.step(NOW))


def test_the_beginning_the_length_and_a_keyed_hash_stay(acme: Account) -> None:
    message = make(acme)

    shorten()

    message.refresh_from_db()
    assert message.body == TEXT[:160]
    assert message.body_length == len(TEXT)
    assert message.body_hash == keys.fingerprint(TEXT).hex()
    assert message.updated_at == OVER


def test_a_text_that_code_before_the_note_of_its_length_wrote_is_shortened_too(acme: Account) -> None:
    message = make(acme)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dispatch_message SET body = %s, long = false", [TEXT])

    shorten()

    message.refresh_from_db()
    assert (message.body, message.body_length) == (TEXT[:160], len(TEXT))


def test_what_was_encrypted_stays_so(acme: Account, stored: None) -> None:
    make(acme)
    encrypted = TEXT not in dump()

    shorten()

    assert (TEXT[:160] not in dump()) is encrypted
    assert not Message.objects.filter(long=True).exists()


@pytest.mark.parametrize("state", sorted(set(State)))
def test_only_what_is_final_is_shortened(acme: Account, state: State) -> None:
    message = make(acme, state)

    shorten()

    message.refresh_from_db()
    assert (message.body_length is not None) == (state in FINAL)


def test_a_text_of_a_segment_stays(acme: Account) -> None:
    message = make(acme, body="x" * 160)

    assert bodies.step(NOW) == 0

    message.refresh_from_db()
    assert (message.body, message.body_length) == ("x" * 160, None)


def test_what_is_young_stays_and_an_account_may_have_its_own_days(acme: Account) -> None:
    young = make(acme, at=NOW - timedelta(days=29))
    hasty = Account.objects.create(name="Globex", body_days=0)
    gone = make(hasty, at=NOW - timedelta(seconds=1))

    shorten()

    young.refresh_from_db()
    gone.refresh_from_db()
    assert (young.body_length, gone.body_length) == (None, len(TEXT))


def test_more_than_a_batch_is_shortened_batch_by_batch(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ROWS", 2)
    for _ in range(5):
        make(acme)

    assert run_once(lambda: bodies.step(NOW)) == 3

    assert not Message.objects.filter(body_length=None).exists()


def test_a_message_whose_text_was_shortened_is_not_replayed(acme: Account) -> None:
    message = make(acme, State.FAILED)
    letter = make_letter(message)
    shorten()

    assert replays.replay([letter.id], "cli:test") == {letter.id: replays.Result.GONE}

    message.refresh_from_db()
    assert message.state == State.FAILED


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.UNKNOWN, State.SENT])
def test_nothing_queues_what_has_lost_its_text_or_its_recipient(acme: Account, state: State) -> None:
    short, gone, whole = make(acme, state), make(acme, state), make(acme, state)
    Message.objects.filter(pk=short.pk).update(body_length=280)
    Message.objects.filter(pk=gone.pk).update(to="")

    moved = transitions.apply([Change(one.id, State.QUEUED, due_at=NOW) for one in (short, gone, whole)])

    assert [move.message_id for move in moved] == [whole.id]


def test_what_is_still_to_be_shortened_is_found_by_its_index(acme: Account) -> None:
    row = make(acme, body="short")
    Message.objects.bulk_create(Message(**{**values(row), "id": uuid4()}) for _ in range(1000))
    make(acme)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE dispatch_message")
    with CaptureQueriesContext(connection) as queries:
        bodies.step(NOW)

    [select] = [query["sql"] for query in queries if query["sql"].startswith("SELECT") and "FOR NO KEY" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")  # the tests before may have left statistics that mislead
        cursor.execute(f"EXPLAIN {select}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "message_shorten" in plan


def values(message: Message) -> dict[str, Any]:
    return {field.attname: getattr(message, field.attname) for field in message._meta.concrete_fields}


class TestWithoutKeys:
    """Only what is encrypted needs any."""

    @pytest.fixture(autouse=True)
    def stored(self, db: None) -> None:
        """As in a new installation."""

    def test_what_another_process_could_read_is_left_to_it(self, acme: Account) -> None:
        make(acme)
        lock_keys()

        with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS"):
            bodies.step(NOW)

        assert Message.objects.get().body_length is None

    def test_what_nobody_can_read_stays_and_is_in_nobodys_way(self, acme: Account) -> None:
        lost = make(acme, at=OVER - timedelta(days=1))
        lose_keys()
        keys_of_texts.make()
        keys_of_texts.forget()
        message = make(acme)

        assert run_once(lambda: bodies.step(NOW)) == 1

        message.refresh_from_db()
        lost.refresh_from_db()
        assert (message.body_length, lost.body_length) == (len(TEXT), None)
        assert gone(lost.body)
