"""`manage.py texts`: the keys that texts are encrypted with, and what was written without one."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sendmsg.errors import ConfigurationError
from sendmsg.sealing import keys
from sendmsg.sealing.models import TextKey
from sendmsg.sealing.rewriting import Rewritten, rewrite


class Command(BaseCommand):
    help = "Texts at rest: list their keys, make a new-key, encrypt what is in clear, decrypt everything."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("list", help="A line for each key, the one that writes last.")
        new = actions.add_parser("new-key", help="Encrypt with a new key within a minute; the others still read.")
        new.add_argument(
            "--all-upgraded",
            action="store_true",
            help="No process of a version without this command is left: it would send what is encrypted as it stands.",
        )
        actions.add_parser("encrypt", help="Encrypt the texts that were written in clear.")
        actions.add_parser("decrypt", help="Write in clear from now on, and what is stored too: before a downgrade.")

    def handle(self, *args: Any, **options: Any) -> None:
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self._list,
            "new-key": self._new_key,
            "encrypt": self._encrypt,
            "decrypt": self._decrypt,
        }
        actions[options["action"]](options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = list(TextKey.objects.defer("key").order_by("created_at"))
        writes = max((row for row in rows if row.retired_at is None), key=lambda row: row.created_at, default=None)
        for row in rows:
            self.stdout.write(f"{row.id}  {row.created_at:%Y-%m-%d %H:%M}  {'writes' if row is writes else 'reads'}")
        if writes is None:
            self.stdout.write("texts are written in clear")

    def _new_key(self, options: dict[str, Any]) -> None:
        if not options["all_upgraded"] and not TextKey.objects.filter(retired_at=None).exists():
            raise CommandError(
                "Texts are in clear as yet. If every process runs this version, say --all-upgraded: one of a version"
                " without this command would send people what is encrypted."
            )
        self.stdout.write(f"{keys.make().id}: every process writes with it within {keys.KEPT:.0f} seconds")

    def _encrypt(self, options: dict[str, Any]) -> None:
        try:
            key = keys.current()
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        if key is None:
            raise CommandError("There is no key that writes: manage.py texts new-key makes one.")
        self._say("encrypted", rewrite(seal=True))

    def _decrypt(self, options: dict[str, Any]) -> None:
        retired = keys.retire()
        keys.forget()
        self._say("decrypted", rewrite(seal=False))
        if retired:
            self.stdout.write(f"Run this again in {keys.KEPT:.0f} seconds: until then other processes may encrypt.")

    def _say(self, what: str, done: Rewritten) -> None:
        self.stdout.write(f"{what}: {done.written}")
        if done.unreadable:
            raise CommandError(f"No key opens: {', '.join(done.unreadable[:20])} ({len(done.unreadable)} in all).")
