"""What an operator is told before the first receipt comes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.checks import registry
from pytest_django.fixtures import Settings

from dispatch import directory
from tests.factories import make_connection
from tests.outages import database_away, redis_away
from webhooks import checks, durability

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


@pytest.fixture
def redis_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is warned of a Redis that is durable, but for what is given."""

    def look(**changes: str) -> list[str]:
        durable = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "1", "maxmemory-policy": "noeviction"}
        given = {**durable, **{name.replace("_", "-"): value for name, value in changes.items()}}
        monkeypatch.setattr(durability, "_settings", lambda: given)
        return [str(message.id) for message in checks.webhooks_are_kept(None)]

    return look


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"appendonly": "no"}, ["sendmsg.W020"]),
        ({"appendfsync": "everysec"}, ["sendmsg.W021"]),
        ({"maxmemory_policy": "allkeys-lru"}, ["sendmsg.W022"]),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, []),
        ({"appendonly": "no", "maxmemory_policy": "volatile-lru"}, ["sendmsg.W020", "sendmsg.W022"]),
    ],
)
def test_a_redis_that_may_lose_webhooks_is_said(
    redis_settings: Callable[..., list[str]], changes: dict[str, str], found: list[str]
) -> None:
    assert redis_settings(**changes) == found


def test_the_settings_are_those_of_redis() -> None:
    assert set(durability._settings()) == set(durability.WANTED)


def test_a_redis_that_is_away_or_is_not_the_buffer_is_not_complained_about(settings: Settings) -> None:
    with redis_away():
        assert durability.shortcomings() == []
    settings.RECEIPTS_BUFFER_URL = "sqs://eu-west-1/receipts"
    assert durability.shortcomings() == []
    assert checks.buffer_can_be_used(None) == []
