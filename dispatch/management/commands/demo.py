import json
import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from dispatch.models import Connection
from sendmsg.accounts.keys import Mode, parse
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope

ACCOUNT = "Demo"
CONNECTIONS = {"sendmsg": False, "sandbox": True}
"""The demo's connections by name, and whether they are for test keys. Both lead to the sandbox provider."""


class Command(BaseCommand):
    help = (
        "Make what `make run` starts with: a demo account, its keys, an admin user, and two connections to the sandbox "
        "provider. Prints new keys as JSON; run again, it only repairs the connections. Keys are made anew with "
        "--renew, or when DEMO_LIVE_KEY and DEMO_TEST_KEY are given and don't open the account."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider-url", required=True, help="Where the sandbox provider listens.")
        parser.add_argument("--migrate", action="store_true", help="Bring both databases up to date first.")
        parser.add_argument("--renew", action="store_true", help="Make new keys and set the admin password.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["migrate"]:
            for database in connections:
                migrate(database)
        with transaction.atomic():
            connect(options["provider_url"])
            account, new = Account.objects.get_or_create(name=ACCOUNT, defaults={"default_sender": "SendMSG"})
            if new or options["renew"] or not all(opens(account, mode) for mode in Mode):
                set_admin_password()
                keys = renew_keys(account)
                self.stdout.write(json.dumps({**keys, "admin_password": os.environ["DEMO_ADMIN_PASSWORD"]}))


def migrate(database: str) -> None:
    """As `manage.py migrate`, which takes a second even to find that there is nothing to do."""
    executor = MigrationExecutor(connections[database])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", database=database, interactive=False, verbosity=0)


def connect(provider_url: str) -> None:
    """Writes without reading: what is stored may be encrypted with a key that is lost."""
    credentials: Any = {
        "api_key": os.environ["SANDBOX_API_KEY"],
        "webhook_secrets": [os.environ["SANDBOX_RECEIPT_SECRET"]],
    }
    Connection.objects.bulk_create(
        [
            Connection(name=name, provider="sendmsg", base_url=provider_url, credentials=credentials, sandbox=sandbox)
            for name, sandbox in CONNECTIONS.items()
        ],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["provider", "base_url", "credentials", "sandbox", "updated_at"],
    )


def opens(account: Account, mode: Mode) -> bool:
    """Whether the key that is given for `mode` works; True when none is given."""
    text = os.environ.get(f"DEMO_{mode.name}_KEY")
    if text is None:
        return True
    key = parse(text)
    found = ApiKey.objects.filter(account=account, mode=mode, digest=key.digest).first() if key else None
    return found is not None and found.revoked_at is None and not found.is_expired()


def renew_keys(account: Account) -> dict[str, str]:
    """New keys by mode; those of an earlier demo are revoked, because nobody has their text any more."""
    made = {}
    for mode in Mode:
        name = f"demo {mode.value}"
        ApiKey.objects.filter(account=account, name=name, revoked_at=None).update(revoked_at=timezone.now())
        key = ApiKey(account=account, mode=mode, name=name, scopes=list(Scope))
        made[mode.value] = key.mint()
        key.save()
    return made


def set_admin_password() -> None:
    user, _ = get_user_model().objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(os.environ["DEMO_ADMIN_PASSWORD"])
    user.save()
