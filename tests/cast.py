"""The people of every permission test, and their API keys.

Alice owns the account Acme and holds all scopes. Bob belongs to Acme too and may only read. Charlie owns another
account, Globex, and holds all scopes there.

A pytest plugin is imported before Django is set up, so models are imported where they are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope

if TYPE_CHECKING:
    from sendmsg.accounts.models import Account


@dataclass(frozen=True)
class Member:
    """Somebody who calls the API: an account, a live and a test key, and the headers that carry each."""

    account: "Account"
    key: str
    test_key: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.key)

    @property
    def test_headers(self) -> dict[str, str]:
        return bearer(self.test_key)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make_key(account: "Account", mode: Mode = Mode.LIVE, scopes: Sequence[str] = Scope.values) -> str:
    """Store a new key and return its text."""
    from sendmsg.accounts.models import ApiKey

    key = ApiKey(account=account, name="test suite", mode=mode, scopes=list(scopes))
    text = key.mint()
    key.save()
    return text


def make_member(account: "Account", scopes: Sequence[str] = Scope.values) -> Member:
    """Give somebody keys of both modes in `account`."""
    return Member(account, make_key(account, Mode.LIVE, scopes), make_key(account, Mode.TEST, scopes))


@pytest.fixture
def acme(db: None) -> "Account":
    from sendmsg.accounts.models import Account

    return Account.objects.create(name="Acme")


@pytest.fixture
def alice(acme: "Account") -> Member:
    """Acme, all scopes."""
    return make_member(acme)


@pytest.fixture
def bob(acme: "Account") -> Member:
    """Acme, reading only."""
    return make_member(acme, [Scope.MESSAGES_READ])


@pytest.fixture
def charlie(db: None) -> Member:
    """Globex, all scopes."""
    from sendmsg.accounts.models import Account

    return make_member(Account.objects.create(name="Globex"))
