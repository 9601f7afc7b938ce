"""The connections as processes see them: cached, surviving the database, and none able to spoil the others."""

import pytest
from django.db import connection as database

from dispatch import directory, routing
from dispatch.lanes import DEFAULT, Lane
from dispatch.models import Connection
from dispatch.routes import Book
from sendmsg.errors import ConfigurationError
from tests.factories import make_connection
from tests.outages import database_away

pytestmark = pytest.mark.django_db


def test_a_change_is_seen_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_connection(name="sendmsg", weight=1)
    assert directory.entries()["sendmsg"].weight == 1
    Connection.objects.update(weight=2)
    assert directory.entries()["sendmsg"].weight == 1

    monkeypatch.setattr(directory, "KEPT", 0.0)

    assert directory.entries()["sendmsg"].weight == 2


def test_a_connection_whose_credentials_cannot_be_read_leaves_the_others_working(
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_connection(name="good")
    make_connection(name="bad")
    with database.cursor() as cursor:
        cursor.execute("UPDATE dispatch_connection SET credentials = 'gAAAA' WHERE name = 'bad'")
    directory.forget()

    assert [name for name, entry in directory.entries().items() if entry.fault] == ["bad"]
    assert "connection can't work connection=bad" in caplog.text


def test_a_connection_of_an_unknown_provider_has_a_fault_and_gets_no_message() -> None:
    make_connection(name="good")
    make_connection(name="odd", provider="no-such-provider")

    entries = directory.entries()

    assert [name for name, entry in entries.items() if entry.fault] == ["odd"]
    assert [way.entry.name for way in routing.options(Lane(DEFAULT, False, "sms"), entries.values(), Book())] == [
        "good"
    ]


def test_a_connection_that_lacks_a_credential_says_which() -> None:
    make_connection(name="sendmsg", credentials={})

    with pytest.raises(ConfigurationError, match="api_key"):
        directory.entries()["sendmsg"].build()


@pytest.mark.django_db(transaction=True)
def test_the_last_list_goes_on_serving_while_the_database_is_away() -> None:
    make_connection(name="sendmsg")
    assert set(directory.entries()) == {"sendmsg"}
    directory.forget()

    with database_away("default"):
        assert set(directory.entries()) == {"sendmsg"}


def test_secrets_are_not_in_its_text() -> None:
    make_connection(name="sendmsg", credentials={"api_key": "very-secret"})

    assert "very-secret" not in repr(directory.entries()["sendmsg"])
