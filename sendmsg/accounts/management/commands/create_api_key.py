"""`manage.py create_api_key ACCOUNT`: create an API key and print it, once.

The key alone goes to standard output, so that `KEY=$(manage.py create_api_key …)` works; what it is goes to
standard error.
"""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sendmsg.accounts.keys import Mode
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope


class Command(BaseCommand):
    """Create an API key for an account."""

    help = "Create an API key for an account and print it. It is shown this once only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the account and what its key may do."""
        parser.add_argument("account", help="Name of the account.")
        parser.add_argument("--create-account", action="store_true", help="Make the account if there is none.")
        parser.add_argument("--mode", choices=Mode.values, required=True)
        parser.add_argument(
            "--scope", choices=Scope.values, action="append", help="May be repeated. Default: all scopes."
        )
        parser.add_argument("--name", default="command line", help="Who or what uses this key.")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Create the key, all or nothing."""
        if options["create_account"]:
            account, _ = Account.objects.get_or_create(name=options["account"])
        else:
            account = _account(options["account"])
        scopes = options["scope"] or Scope.values
        key = ApiKey(account=account, mode=options["mode"], scopes=scopes, name=options["name"])
        text = key.mint()
        try:
            key.full_clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        key.save()
        self.stderr.write(f"{key} for {account}, {key.mode}: {', '.join(key.scopes)}. Shown this once only.")
        self.stdout.write(text)


def _account(name: str) -> Account:
    try:
        return Account.objects.get(name=name)
    except Account.DoesNotExist as error:
        raise CommandError(f'There is no account "{name}". Add --create-account to make it.') from error
