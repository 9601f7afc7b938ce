"""`manage.py archive run`: keep both databases short, for ever; `list`, `fetch`, `verify`: see to what is archived.

Lists go to standard output, a line a file with tabs; what was fetched goes there as one JSON document.
"""

import json
from argparse import ArgumentTypeError
from datetime import date
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from dispatch.retention import history
from dispatch.retention.pump import ArchivePump
from sendmsg.accounts.models import Account
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.archive import files
from sendmsg.logs.models import ArchiveFile


class Command(BaseCommand):
    help = "Move old logs and messages into the archive, until SIGTERM; list it, verify it, or fetch a message from it."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="run|list|verify|fetch")
        run = actions.add_parser("run", help="Archive and delete what is old, until SIGTERM. Any number may run.")
        run.add_argument("--once", action="store_true", help="End when nothing is left to do.")
        for name, about in (("list", "A line for each file."), ("verify", "Read files and compare them.")):
            action = actions.add_parser(name, help=about)
            action.add_argument("--account", help="Only of the account with this name.")
            action.add_argument("--since", type=_day, help="Only from this day on: 2030-12-31.")
            action.add_argument("--until", type=_day, help="Only from before this day.")
        fetch = actions.add_parser("fetch", help="All that is known of a message.")
        fetch.add_argument("message", type=_id, help="Its id.")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "run":
            self._run(options["once"])
        elif action == "fetch":
            self._fetch(options["message"])
        elif action == "list":
            self._list(_chosen(options))
        else:
            self._verify(_chosen(options))

    def _run(self, once: bool) -> None:
        pump = ArchivePump()
        if not once:
            pump.run()
            return
        while pump.step():
            pass

    def _list(self, entries: QuerySet[ArchiveFile]) -> None:
        for entry in entries.iterator(1000):
            row = (entry.day, entry.kind, entry.account_id, entry.part, entry.rows, entry.bytes, entry.name)
            self.stdout.write("\t".join(map(str, row)))

    def _verify(self, entries: QuerySet[ArchiveFile]) -> None:
        _need_archive()
        bad = 0
        for entry in entries.iterator(1000):
            try:
                files.verify(entry)
            except ArchiveDamaged as error:
                bad += 1
                self.stdout.write(f"damaged\t{error}")
        self.stdout.write(f"{entries.count() - bad} files are as they were written, {bad} are not")
        if bad:
            raise CommandError("Bring these files back from a copy.")

    def _fetch(self, message_id: UUID) -> None:
        _need_archive()
        try:
            found = history.fetch(message_id)
        except ArchiveDamaged as error:
            raise CommandError(str(error)) from None
        if not found.found:
            raise CommandError("Nothing is known of this message.")
        self.stdout.write(json.dumps(found.as_json(), ensure_ascii=False, indent=2))


def _need_archive() -> None:
    if not files.enabled():
        raise CommandError("There is no archive: set ARCHIVE_URL.")


def _chosen(options: dict[str, Any]) -> QuerySet[ArchiveFile]:
    entries = ArchiveFile.objects.all()
    if options["account"]:
        account = Account.objects.filter(name=options["account"]).first()
        if account is None:
            raise CommandError(f'There is no account "{options["account"]}".')
        entries = entries.filter(account_id=account.id)
    if options["since"]:
        entries = entries.filter(day__gte=options["since"])
    if options["until"]:
        entries = entries.filter(day__lt=options["until"])
    return entries


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("expected a day, as 2030-12-31") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError("expected the id of a message") from None
