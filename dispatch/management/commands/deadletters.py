"""`manage.py deadletters`: store dead tasks for ever; `list`, `replay` and `discard`: see to what is stored.

The report goes to standard output, one line a letter for `list`; progress and questions go to standard error.
"""

import getpass
import sys
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from dispatch import directory, replays
from dispatch.dead_letters import DeadLetterPump
from dispatch.models import Connection, DeadLetter
from dispatch.replays import Result, Results
from dispatch.vocabulary import LetterState
from sendmsg.accounts.models import Account

NOTE_LENGTH = 300  # characters; what the column holds
FETCHED = 1000  # rows of a list that are held at a time


class Command(BaseCommand):
    help = (
        "Store dead tasks from the broker's dead queue, until SIGTERM (RabbitMQ only); or list, replay or discard open "
        "dead letters."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=["run", "list", "replay", "discard"], default="run")
        parser.add_argument("--reason", help="Only with this reason.")
        parser.add_argument("--account", help="Only of the account with this name.")
        parser.add_argument("--connection", help="Only of messages that last went by this connection.")
        parser.add_argument("--since", type=_moment, help="Only from this time on: 2030-12-31, 2030-12-31T09:00+01:00.")
        parser.add_argument("--to", metavar="CONNECTION", help="Replay by this connection and no other.")
        parser.add_argument("--note", default="", help="Why; a discard needs it.")
        parser.add_argument("--dry-run", action="store_true", help="Say how many, and do nothing.")
        parser.add_argument("--yes", action="store_true", help="Don't ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "run":
            DeadLetterPump().run()
            return
        letters = _chosen(options)
        if action == "list":
            self._list(letters)
        elif action == "replay":
            messages = letters.filter(message__isnull=False)  # tasks and webhooks can only be discarded
            self._see_to(action, messages, self._handler(action, options), options)
        else:
            self._see_to(action, letters, self._handler(action, options), options)

    def _list(self, letters: QuerySet[DeadLetter]) -> None:
        fields = ("id", "created_at", "reason", "account__name", "connection__name", "message_id", "queue")
        for row in letters.values_list(*fields).iterator(FETCHED):
            at = f"{row[1]:%Y-%m-%dT%H:%M:%SZ}"
            self.stdout.write("\t".join(str(value or "-") for value in (row[0], at, *row[2:])))

    def _handler(self, action: str, options: dict[str, Any]) -> Callable[[Collection[Any]], Results]:
        by, note = f"cli:{_user()}", options["note"]
        if len(note) > NOTE_LENGTH:
            raise CommandError(f"A --note has {NOTE_LENGTH} characters at most.")
        if action == "discard":
            if not note:
                raise CommandError("A discard needs --note: why nothing shall come of these.")
            return lambda ids: replays.discard(ids, by, note=note)
        via = directory.entries().get(options["to"]) if options["to"] else None
        if options["to"] and via is None:
            raise CommandError(f'There is no connection "{options["to"]}".')
        return lambda ids: replays.replay(ids, by, note=note, via=via)

    def _see_to(
        self,
        action: str,
        letters: QuerySet[DeadLetter],
        act: Callable[[Collection[Any]], Results],
        options: dict[str, Any],
    ) -> None:
        newest = letters.order_by("-id").values_list("id", flat=True).first()
        letters = letters.filter(id__lte=newest)  # none that comes while somebody thinks about the question
        total = letters.count()
        if options["dry_run"] or not total:
            self.stdout.write(f"{action}: {total} open dead letters chosen, nothing done")
            return
        if not options["yes"] and not self._confirmed(f"{action} {total} dead letters? [y/N] "):
            raise CommandError("Nothing done.")
        counts: Counter[Result] = Counter()
        seen = 0
        for results in replays.sweep(letters, act):
            counts.update(results.values())
            seen += len(results)
            self.stderr.write(f"\r{action}: {seen} of {total} ({100 * seen // total} %)", ending="")
        self.stderr.write("")
        for result, count in counts.items():
            self.stdout.write(f"{action}: {count} {result.label}")

    def _confirmed(self, question: str) -> bool:
        self.stderr.write(question, ending="")
        self.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def _chosen(options: dict[str, Any]) -> QuerySet[DeadLetter]:
    letters = DeadLetter.objects.filter(state=LetterState.OPEN).order_by("id")
    if options["reason"]:
        letters = letters.filter(reason=options["reason"])
    if options["account"]:
        if not Account.objects.filter(name=options["account"]).exists():
            raise CommandError(f'There is no account "{options["account"]}".')
        letters = letters.filter(account__name=options["account"])
    if options["connection"]:
        if not Connection.objects.filter(name=options["connection"]).exists():
            raise CommandError(f'There is no connection "{options["connection"]}".')
        letters = letters.filter(connection__name=options["connection"])
    if options["since"]:
        letters = letters.filter(created_at__gte=options["since"])
    return letters


def _moment(text: str) -> datetime:
    """A date, or a date and time; in UTC where no offset is given."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
