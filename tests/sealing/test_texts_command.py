"""`manage.py texts`: encryption is begun, changed and undone by an operator, without a text being lost."""

import io

import pytest
from django.core.management import CommandError, call_command

from dispatch.models import BroadcastDraft, Message
from sendmsg.accounts.models import Account
from sendmsg.sealing import keys, rewriting
from sendmsg.sealing.models import TextKey
from tests.factories import make_connection, make_inbound, make_message
from tests.stored import dump, lock_keys, lose_keys, opened, write_in_clear

pytestmark = pytest.mark.django_db
PLANTED = "p1anted"


@pytest.fixture
def filled(acme: Account) -> str:
    """Texts in clear; the opened values."""
    write_in_clear()
    for number in range(3):
        make_message(acme, body=f"{PLANTED} {number} " + "x" * 200 * number)
    make_message(acme, body="")
    make_inbound(make_connection(), acme, body=PLANTED)
    BroadcastDraft.objects.create(user_id=1, account=acme, fields={"body": PLANTED}, content=PLANTED.encode())
    return opened()


def run(*words: str) -> str:
    output = io.StringIO()
    call_command("texts", *words, stdout=output)
    return output.getvalue()


def begin() -> None:
    run("new-key", "--all-upgraded")
    keys.forget()


def test_the_first_key_needs_somebody_who_says_that_all_is_upgraded() -> None:
    lose_keys()

    with pytest.raises(CommandError, match="--all-upgraded"):
        run("new-key")

    assert not TextKey.objects.exists()
    assert "within 60 seconds" in run("new-key", "--all-upgraded")
    assert "within 60 seconds" in run("new-key")


def test_what_is_in_clear_is_encrypted_whatever_a_batch_holds(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "ROWS", 2)
    assert PLANTED in dump()
    begin()

    assert run("encrypt") == "encrypted: 6\n"

    assert PLANTED not in dump()
    assert opened() == filled
    assert run("encrypt") == "encrypted: 0\n"


def test_long_texts_are_still_found_by_their_length_afterwards(filled: str) -> None:
    Message.objects.update(long=False)  # as code before it left it
    begin()

    run("encrypt")

    assert sorted(Message.objects.values_list("long", flat=True)) == [False, False, True, True]


def test_without_a_key_that_writes_nothing_can_be_encrypted(filled: str) -> None:
    with pytest.raises(CommandError, match="new-key"):
        run("encrypt")


def test_before_a_downgrade_everything_is_decrypted_and_new_texts_are_in_clear(filled: str, acme: Account) -> None:
    begin()
    run("encrypt")

    assert run("decrypt").startswith("decrypted: 6\nRun this again in 60 seconds")

    make_message(acme, body="afterwards")
    assert "afterwards" in dump()
    assert dump().count(PLANTED) == 6
    assert run("decrypt") == "decrypted: 0\n"


def test_what_cant_be_opened_is_named_and_stays(filled: str, acme: Account) -> None:
    begin()
    lost = make_message(acme, body="lost")
    lose_keys()
    begin()

    with pytest.raises(CommandError, match=rf"message {lost.id} \(1 in all\)"):
        run("decrypt")

    assert "sealed:1:" in dump()


def test_keys_are_listed_with_what_they_do() -> None:
    keys.make()
    first, second = TextKey.objects.order_by("created_at")

    lines = run("list").splitlines()

    assert lines[0].startswith(first.id) or lines[1].startswith(first.id)
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["reads", "writes"]
    assert second.key not in "".join(lines)


def test_where_no_key_writes_it_says_so() -> None:
    write_in_clear()

    assert run("list").splitlines()[-1] == "texts are written in clear"


def test_a_key_that_cant_be_opened_is_told() -> None:
    lock_keys()

    with pytest.raises(CommandError, match="CREDENTIALS_KEYS"):
        run("encrypt")
