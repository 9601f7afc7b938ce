"""`manage.py demo`."""

import json
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth import authenticate
from django.core.management import call_command

from dispatch.models import Connection
from sendmsg import encryption
from sendmsg.accounts.keys import Mode, parse
from sendmsg.accounts.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real ones are slow on purpose
    monkeypatch.setenv("SANDBOX_API_KEY", "key of the sandbox")
    monkeypatch.setenv("SANDBOX_RECEIPT_SECRET", "secret of receipts")
    monkeypatch.setenv("DEMO_ADMIN_PASSWORD", "password of the admin")


def demo(*options: str) -> dict[str, str]:
    """Run the command; the keys that it printed, if any."""
    out = StringIO()
    call_command("demo", "--provider-url", "http://127.0.0.1:8002", *options, stdout=out)
    printed: dict[str, str] = json.loads(out.getvalue() or "{}")
    return printed


def works(text: str) -> bool:
    key = parse(text)
    assert key is not None
    return ApiKey.objects.get(digest=key.digest).revoked_at is None


def test_it_makes_keys_connections_and_an_admin() -> None:
    made = demo()

    assert set(made) == {"live", "test", "admin_password"}
    for mode in Mode:
        key = parse(made[mode.value])
        assert key is not None
        assert key.mode is mode
        assert ApiKey.objects.get(digest=key.digest).account.name == "Demo"
    assert authenticate(username="admin", password="password of the admin") is not None
    assert set(Connection.objects.values_list("name", "sandbox")) == {("sendmsg", False), ("sandbox", True)}


def test_a_second_run_prints_nothing_and_keeps_the_keys() -> None:
    made = demo()

    assert demo() == {}

    assert works(made["live"])


def test_it_points_existing_connections_at_the_provider_again() -> None:
    demo()
    Connection.objects.filter(name="sendmsg").update(base_url="http://elsewhere.invalid", sandbox=True)

    demo()

    connection = Connection.objects.get(name="sendmsg")
    assert (connection.base_url, connection.sandbox) == ("http://127.0.0.1:8002", False)


def test_credentials_whose_encryption_key_is_lost_are_written_anew(settings: Any) -> None:
    demo()
    settings.CREDENTIALS_KEYS = [Fernet.generate_key().decode()]
    encryption._fernet.cache_clear()
    try:
        demo()

        credentials: Any = Connection.objects.get(name="sendmsg").credentials
        assert credentials == {"api_key": "key of the sandbox", "webhook_secrets": ["secret of receipts"]}
    finally:
        encryption._fernet.cache_clear()


def test_keys_that_open_the_account_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = demo()
    monkeypatch.setenv("DEMO_LIVE_KEY", made["live"])
    monkeypatch.setenv("DEMO_TEST_KEY", made["test"])

    assert demo() == {}


@pytest.mark.parametrize("lost", ["", "nonsense", "unknown", "of the other mode", "revoked"])
def test_keys_that_do_not_open_the_account_are_replaced(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    made = demo()
    given = {"unknown": ApiKey(mode=Mode.LIVE).mint(), "of the other mode": made["test"], "revoked": made["live"]}
    if lost == "revoked":
        demo("--renew")
    monkeypatch.setenv("DEMO_LIVE_KEY", given.get(lost, lost))
    monkeypatch.setenv("DEMO_TEST_KEY", made["test"])
    monkeypatch.setenv("DEMO_ADMIN_PASSWORD", "another password")

    new = demo()

    assert works(new["live"])
    assert works(new["test"])
    assert not works(made["live"])
    assert authenticate(username="admin", password="another password") is not None


@pytest.mark.django_db(databases=["default", "logs"])
def test_databases_that_are_up_to_date_need_no_migration() -> None:
    assert demo("--migrate")
