"""`manage.py create_api_key`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sendmsg.accounts.keys import parse
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope


def create(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_standard_output_is_the_key_and_nothing_else(acme: Account) -> None:
    out, err = create("Acme", "--mode", "test", "--name", "billing")

    key = parse(out.removesuffix("\n"))
    assert key is not None
    assert key.text not in err
    row = ApiKey.objects.get(digest=key.digest)
    assert (row.account, row.name, row.mode) == (acme, "billing", "test")
    assert row.scopes == Scope.values


def test_scopes_can_be_chosen(acme: Account) -> None:
    create("Acme", "--mode", "live", "--scope", "messages:read")

    assert ApiKey.objects.get().scopes == ["messages:read"]


def test_an_unknown_account_is_refused_and_not_made(db: None) -> None:
    with pytest.raises(CommandError, match="no account"):
        create("Acme", "--mode", "live")

    assert not Account.objects.exists()


def test_an_account_is_made_when_asked_for(db: None) -> None:
    create("Acme", "--mode", "live", "--create-account")
    create("Acme", "--mode", "test", "--create-account")

    assert ApiKey.objects.filter(account=Account.objects.get(name="Acme")).count() == 2


def test_an_unusable_name_makes_nothing(db: None) -> None:
    with pytest.raises(CommandError):
        create("Acme", "--mode", "live", "--create-account", "--name", "x" * 101)

    assert not Account.objects.exists()
