"""What an operator is told before the first receipt comes."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import registry

from dispatch import directory
from tests.factories import make_connection
from tests.outages import database_away
from webhooks import checks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    directory.forget()


def ids() -> list[str]:
    return [str(message.id) for message in checks.webhooks_are_proven(None)]


@pytest.mark.parametrize(
    ("provider", "credentials", "found"),
    [
        ("sendmsg", {"webhook_secrets": ["x"]}, []),
        ("sendmsg", {"api_key": "x"}, ["sendmsg.W010"]),
        ("sendmsg", {"webhook_tokens": ["x"]}, ["sendmsg.W010"]),
        ("twilio", {"auth_token": "x"}, []),
        ("twilio", {"api_key": "x", "api_key_secret": "y"}, ["sendmsg.W010"]),
        ("infobip", {"api_key": "x"}, ["sendmsg.W010"]),
        ("infobip", {"webhook_addresses": ["192.0.2.0/24"]}, ["sendmsg.W010"]),
        ("infobip", {"webhook_tokens": ["x"]}, ["sendmsg.W011"]),
        ("infobip", {"webhook_basic": ["x:y"]}, ["sendmsg.W011"]),
        ("infobip", {"webhook_secrets": ["x"]}, []),
        ("sinch", {"webhook_tokens": ["x"]}, ["sendmsg.W011"]),
    ],
)
def test_a_connection_whose_webhooks_prove_too_little_is_worth_a_warning(
    provider: str, credentials: dict[str, Any], found: list[str]
) -> None:
    make_connection("line", provider=provider, credentials=credentials)

    assert ids() == found


def test_a_warning_names_the_connection_and_no_secret() -> None:
    make_connection("line", provider="infobip", credentials={"webhook_tokens": ["a-token"]})

    [message] = checks.webhooks_are_proven(None)

    assert "line" in message.msg
    assert "a-token" not in f"{message.msg} {message.hint}"


def test_a_disabled_connection_is_no_concern() -> None:
    make_connection("line", provider="infobip", credentials={}, enabled=False)

    assert ids() == []


@pytest.mark.django_db(transaction=True)
def test_without_the_database_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_entries", {})
    directory.forget()

    with database_away("default"):
        assert ids() == []


def test_it_runs_before_a_deployment_and_not_at_every_start() -> None:
    assert checks.webhooks_are_proven in registry.registry.deployment_checks
    assert checks.webhooks_are_proven not in registry.registry.registered_checks
