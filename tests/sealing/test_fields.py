"""Texts at rest: Postgres never sees them, what was written before is read, and what can't be opened hurts nobody."""

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dispatch.models import Announcement, BroadcastDraft, Message
from sendmsg.accounts.models import Account
from sendmsg.errors import ConfigurationError
from sendmsg.sealing import envelope, keys
from sendmsg.sealing.envelope import MARK, Shut
from sendmsg.sealing.fields import UnreadableText, gone, unreadable
from sendmsg.sealing.keys import Key
from tests.factories import make_message
from tests.stored import lock_keys, lose_keys, write_in_clear

pytestmark = pytest.mark.django_db
TEXT = "Your code is 471183. 🎉"
PLACE = b"dispatch.message.body"


def stored(message: Message) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM dispatch_message WHERE id = %s", [message.id])
        (body,) = cursor.fetchone() or ("",)
    return str(body)


def write(message: Message, body: str) -> None:
    """As other code would: with nothing between."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dispatch_message SET body = %s WHERE id = %s", [body, message.id])


def key() -> Key:
    found = keys.current()
    assert found is not None
    return found


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    opened = envelope.unseal(envelope.seal(text.encode(), PLACE, key()), PLACE)

    assert opened == text.encode()


def test_a_text_is_read_as_it_was_written_and_stored_as_something_else(acme: Account) -> None:
    message = make_message(acme, body=TEXT)

    assert Message.objects.get().body == TEXT
    assert list(Message.objects.values_list("body", flat=True)) == [TEXT]
    assert stored(message).startswith(f"{MARK}{key().id}:")
    assert "471183" not in stored(message)


def test_the_same_text_never_looks_the_same(acme: Account) -> None:
    one, other = make_message(acme, body=TEXT), make_message(acme, body=TEXT)

    assert stored(one) != stored(other)


def test_a_text_in_clear_from_before_is_read(acme: Account) -> None:
    message = make_message(acme)
    write(message, TEXT)

    assert Message.objects.get().body == TEXT


def test_a_text_that_looks_encrypted_is_encrypted_like_any_other(acme: Account) -> None:
    looks = envelope.seal(b"x", PLACE, key())
    message = make_message(acme, body=looks)

    assert Message.objects.get().body == looks
    assert stored(message) != looks


def test_an_empty_text_stays_empty(acme: Account) -> None:
    assert stored(make_message(acme, body="")) == ""


def test_an_update_encrypts_too(acme: Account) -> None:
    message = make_message(acme)

    Message.objects.update(body=TEXT)

    assert stored(message).startswith(MARK)
    assert Message.objects.get().body == TEXT


def test_a_value_that_was_moved_to_another_column_opens_no_more(acme: Account) -> None:
    token = stored(make_message(acme, body=TEXT))

    assert envelope.unseal(token, PLACE) == TEXT.encode()
    assert envelope.unseal(token, b"webhooks.inbound.body") == Shut(locked=False)


@pytest.mark.parametrize("spoil", [lambda token: token[:-8], lambda token: token + "é", lambda token: token + "AAAA"])
def test_what_was_changed_at_rest_is_not_believed(acme: Account, spoil: object) -> None:
    message = make_message(acme, body=TEXT)
    assert callable(spoil)
    write(message, spoil(stored(message)))

    found = Message.objects.get().body

    assert found == ""
    assert gone(found)


@pytest.mark.parametrize(("lose", "locked"), [(lose_keys, False), (lock_keys, True)])
def test_without_its_key_a_text_is_empty_says_so_and_is_not_lost(acme: Account, lose: object, locked: bool) -> None:
    message = make_message(acme, body=TEXT)
    before = stored(message)
    assert callable(lose)
    lose()

    row = Message.objects.get()

    assert row.body == ""
    found = unreadable(row.body)
    assert isinstance(found, UnreadableText)
    assert found.locked is locked
    row.save()
    assert stored(message) == before


def test_who_would_delete_what_another_process_could_read_is_stopped(acme: Account) -> None:
    make_message(acme, body=TEXT)
    lock_keys()

    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS"):
        gone(Message.objects.get().body)


def test_one_that_cant_be_read_takes_no_other_row_with_it(acme: Account) -> None:
    lost = make_message(acme, body="lost")
    token = stored(lost)
    write(lost, token.replace(key().id, "00000000"))
    make_message(acme, body=TEXT)

    assert sorted(Message.objects.values_list("body", flat=True)) == ["", TEXT]


def test_without_a_key_that_opens_nothing_is_written_rather_than_in_clear(acme: Account) -> None:
    lock_keys()

    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS"), transaction.atomic():
        make_message(acme, body=TEXT)

    assert not Message.objects.exists()


def test_where_there_is_no_key_yet_texts_are_in_clear(acme: Account) -> None:
    write_in_clear()

    assert stored(make_message(acme, body=TEXT)) == TEXT


def test_whether_a_text_is_long_is_noted_with_it(acme: Account) -> None:
    short, long = make_message(acme, body="x" * 160), make_message(acme, body="x" * 161)
    short.refresh_from_db()
    long.refresh_from_db()

    assert (short.long, long.long) == (False, True)


def test_objects_and_files_come_back_too_and_are_read_in_clear(acme: Account) -> None:
    data = {"body": TEXT, "media": []}
    for seals in (True, False):
        if not seals:
            write_in_clear()
        Announcement.objects.create(account_id=acme.id, test=False, type="x", data=data, at=timezone.now())
        BroadcastDraft.objects.create(user_id=1, account=acme, fields={"body": TEXT}, content=b"to\n+447700900001\n")

    assert list(Announcement.objects.values_list("data", flat=True)) == [data, data]
    drafts = [(draft.fields, draft.content) for draft in BroadcastDraft.objects.all()]
    assert drafts == [({"body": TEXT}, b"to\n+447700900001\n")] * 2


def test_objects_and_files_without_their_key_are_empty_and_not_lost(acme: Account) -> None:
    now = timezone.now()
    Announcement.objects.create(account_id=acme.id, test=False, type="x", data={"body": TEXT}, at=now)
    BroadcastDraft.objects.create(user_id=1, account=acme, fields={"body": TEXT}, content=b"to\n")
    before = raw()
    lose_keys()

    announcement, draft = Announcement.objects.get(), BroadcastDraft.objects.get()

    assert (announcement.data, draft.fields, draft.content) == ({}, {}, b"")
    assert gone(announcement.data)
    announcement.save()
    draft.save()
    assert raw() == before


def raw() -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.data::text, d.fields::text, d.content::text"
            " FROM dispatch_announcement a, dispatch_broadcastdraft d"
        )
        return list(cursor.fetchall())
