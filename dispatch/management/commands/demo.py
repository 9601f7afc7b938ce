import json
import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from dispatch.models import Connection
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope

ACCOUNT = "Demo"


class Command(BaseCommand):
    help = (
        "Make what `make run` starts with: a demo account, its keys, an admin user, and two connections to the sandbox "
        "provider. Prints the new secrets as JSON; run again, it only repairs the connections and makes fresh secrets "
        "with --renew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider-url", required=True, help="Where the sandbox provider listens.")
        parser.add_argument("--renew", action="store_true", help="Make new keys and a new admin password.")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        credentials = {
            "api_key": os.environ["SANDBOX_API_KEY"],
            "webhook_secrets": [os.environ["SANDBOX_RECEIPT_SECRET"]],
        }
        for name, sandbox in (("sendmsg", False), ("sandbox", True)):
            Connection.objects.update_or_create(
                name=name,
                defaults={
                    "provider": "sendmsg",
                    "base_url": options["provider_url"],
                    "credentials": credentials,
                    "sandbox": sandbox,
                },
            )
        account, new = Account.objects.get_or_create(name=ACCOUNT, defaults={"default_sender": "SendMSG"})
        if new or options["renew"]:
            self.stdout.write(json.dumps(self._secrets(account)))

    def _secrets(self, account: Account) -> dict[str, str]:
        password = os.environ["DEMO_ADMIN_PASSWORD"]
        user, _ = get_user_model().objects.get_or_create(
            username="admin", defaults={"is_staff": True, "is_superuser": True}
        )
        user.set_password(password)
        user.save()
        keys = {}
        for mode in Mode:
            key = ApiKey(account=account, mode=mode, name=f"demo {mode.value}", scopes=list(Scope))
            keys[mode.value] = key.mint()
            key.save()
        return {**keys, "admin_password": password}
