"""Keys of texts: made, found, changed, and told apart from the ones that are missing."""

import importlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch.models import Message
from sendmsg import checks, encryption
from sendmsg.accounts.models import Account
from sendmsg.errors import ConfigurationError
from sendmsg.sealing import envelope, keys
from sendmsg.sealing.models import TextKey
from tests.factories import make_message
from tests.stored import lock_keys, lose_keys, write_in_clear

pytestmark = pytest.mark.django_db
make_first = importlib.import_module("sendmsg.sealing.migrations.0002_first_key").make_key


def test_the_newest_key_writes_and_the_others_read(acme: Account) -> None:
    make_message(acme, body="old")
    newer = keys.make()
    keys.forget()
    make_message(acme, body="new")

    found = keys.current()

    assert found is not None
    assert found.id == newer.id
    assert sorted(Message.objects.values_list("body", flat=True)) == ["new", "old"]


def test_a_process_that_knows_its_keys_asks_nobody(acme: Account) -> None:
    make_message(acme)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        make_message(acme)
        list(Message.objects.all())

    assert not [query for query in queries if "sealing_textkey" in query["sql"]]


def test_a_newer_key_is_seen_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = keys.make()
    before = keys.current()
    monkeypatch.setattr(keys, "KEPT", 0.0)

    after = keys.current()

    assert before is not None
    assert after is not None
    assert before.id != newer.id == after.id


def test_a_key_that_served_its_time_gets_a_successor_once() -> None:
    assert not keys.renew()
    TextKey.objects.update(created_at=timezone.now() - keys.SERVES - timedelta(minutes=1))

    assert (keys.renew(), keys.renew()) == (True, False)
    assert TextKey.objects.count() == 2


def test_where_texts_are_in_clear_no_key_comes_by_itself() -> None:
    write_in_clear()
    TextKey.objects.update(created_at=timezone.now() - timedelta(days=100))

    assert not keys.renew()
    assert keys.current() is None


def test_a_key_that_was_missing_is_found_when_it_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MISSED", 0.0)
    row = TextKey.objects.get()
    lose_keys()
    missing = keys.get(row.id)
    assert isinstance(missing, keys.Missing)
    assert not missing.locked

    row.save(force_insert=True)

    assert isinstance(keys.get(row.id), keys.Key)


def test_ids_that_somebody_made_up_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST", 3)

    for number in range(10):
        keys.get(f"{number:08x}")

    assert len(keys._known) <= 3


def test_a_new_installation_has_a_key_and_an_older_one_waits_for_its_operator() -> None:
    lose_keys()
    Account.objects.all().delete()

    make_first(apps, None)
    assert keys.current() is not None

    lose_keys()
    Account.objects.create(name="Acme")
    make_first(apps, None)
    assert keys.current() is None


@pytest.mark.django_db(databases=["default", "logs"])
def test_new_credentials_keys_cost_a_row_and_no_text(
    acme: Account, settings: Any, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(encryption._fernet.cache_clear)
    make_message(acme, body="kept")
    token = raw_body()
    old, new = settings.CREDENTIALS_KEYS[0], Fernet.generate_key().decode()
    settings.CREDENTIALS_KEYS = [new, old]
    encryption._fernet.cache_clear()

    call_command("providers", "reencrypt")

    settings.CREDENTIALS_KEYS = [new]
    encryption._fernet.cache_clear()
    keys.forget()
    assert Message.objects.get().body == "kept"
    assert raw_body() == token


def raw_body() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM dispatch_message")
        (body,) = cursor.fetchone() or ("",)
    return str(body)


def test_a_keyed_hash_names_its_key_and_is_told_again_by_it() -> None:
    first = envelope.digest("text")
    assert first is not None
    keys.make()
    keys.forget()

    assert envelope.digest("text") != first
    assert envelope.digest("text", first) == first
    assert envelope.digest("other", first) != first


def test_a_plain_hash_is_compared_as_it_is() -> None:
    assert envelope.digest("text", "0" * 64) is None


def test_a_hash_whose_key_is_gone_is_not_called_another_text() -> None:
    first = envelope.digest("text")
    lose_keys()

    with pytest.raises(ConfigurationError, match="text key"):
        envelope.digest("text", first)


class TestCheck:
    def found(self) -> list[str | None]:
        return [message.id for message in checks.texts_are_encrypted(None)]

    def test_nothing_is_said_where_texts_are_encrypted(self) -> None:
        assert self.found() == []

    def test_texts_in_clear_are_told(self) -> None:
        write_in_clear()

        assert self.found() == ["sendmsg.W004"]

    def test_a_key_that_nothing_opens_is_an_error(self) -> None:
        lock_keys()

        assert self.found() == ["sendmsg.E003"]
