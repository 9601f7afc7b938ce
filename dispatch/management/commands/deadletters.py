"""`manage.py deadletters`: store dead tasks for ever; `list`, `replay`, `discard` and `purge`: see to what is stored.

The report goes to standard output, one line a letter for `list`; progress and questions go to standard error.
"""

import sys
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from dispatch import directory, purging, replays
from dispatch.dead_letters import DeadLetterPump
from dispatch.management.operator import operator
from dispatch.management.progress import Progress
from dispatch.models import Connection, DeadLetter
from dispatch.providers.registry import PROVIDERS
from dispatch.replays import Result, Results
from dispatch.vocabulary import LetterState
from sendmsg.accounts.models import Account

logger = structlog.stdlib.get_logger(__name__)

NOTE_LENGTH = 300  # characters; what the column holds
FETCHED = 1000  # rows of a list that are held at a time

Handler = Callable[[Collection[UUID]], Results]


class Command(BaseCommand):
    help = (
        "Store dead tasks from the broker's dead queue, until SIGTERM (RabbitMQ only); or list, replay or discard open "
        "dead letters, or purge handled ones."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = ["run", "list", "replay", "discard", "purge"]
        parser.add_argument("action", nargs="?", choices=actions, default="run")
        parser.add_argument("--reason", help="Only with this reason.")
        parser.add_argument("--account", help="Only of the account with this name.")
        parser.add_argument("--connection", help="Only of messages that last went by this connection.")
        parser.add_argument("--provider", choices=sorted(PROVIDERS), help="Only of messages that last went by it.")
        parser.add_argument("--since", type=_moment, help="Only from this time on: 2030-12-31, 2030-12-31T09:00+01:00.")
        parser.add_argument("--until", type=_moment, help="Only from before this time.")
        parser.add_argument("--to", metavar="CONNECTION", help="Replay by this connection and no other.")
        parser.add_argument("--to-same", action="store_true", help="Replay each by the connection that it went by.")
        parser.add_argument(
            "--even-if-sent", action="store_true", help="Replay also what may have been sent: it may arrive twice."
        )
        parser.add_argument("--days", type=int, help="Purge what was handled at least so many days ago.")
        parser.add_argument("--note", default="", help="Why; a discard needs it.")
        parser.add_argument("--dry-run", action="store_true", help="Say how many, and do nothing.")
        parser.add_argument("--yes", action="store_true", help="Don't ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "run":
            DeadLetterPump().run()
            return
        letters = _chosen(options)
        waiting = letters.filter(state=LetterState.OPEN)
        if action == "list":
            self._list(waiting)
        elif action == "purge":
            self._purge(letters, options)
        elif action == "replay":
            messages = waiting.filter(message__isnull=False)  # tasks and webhooks can only be discarded
            self._see_to(action, messages, _replayer(options), options)
        else:
            self._see_to(action, waiting, _discarder(options), options)

    def _list(self, letters: QuerySet[DeadLetter]) -> None:
        fields = ("id", "created_at", "reason", "account__name", "connection__name", "message_id", "queue")
        for row in letters.values_list(*fields).iterator(FETCHED):
            at = f"{row[1]:%Y-%m-%dT%H:%M:%SZ}"
            self.stdout.write("\t".join(str(value or "-") for value in (row[0], at, *row[2:])))

    def _see_to(self, action: str, letters: QuerySet[DeadLetter], act: Handler, options: dict[str, Any]) -> None:
        newest = letters.order_by("-id").values_list("id", flat=True).first()
        letters = letters.filter(id__lte=newest)  # none that comes while somebody thinks about the question
        total = letters.count()
        in_doubt = replays.may_have_been_sent(letters).count() if action == "replay" else 0
        note = ""
        if in_doubt:
            fate = "and may arrive twice" if options["even_if_sent"] else "and are left alone without --even-if-sent"
            note = f", of which {in_doubt} may have been sent {fate}"
        if options["dry_run"] or not total:
            self.stdout.write(f"{action}: {total} open dead letters chosen{note}, nothing done")
            return
        self._confirm(f"{action} {total} dead letters{note}?", options)
        counts: Counter[Result] = Counter()
        with Progress(self.stderr, action, total) as progress:
            for results in replays.sweep(letters, act):
                counts.update(results.values())
                progress.add(len(results))
        for result, count in counts.items():
            self.stdout.write(f"{action}: {count} {result.label}")

    def _purge(self, letters: QuerySet[DeadLetter], options: dict[str, Any]) -> None:
        days = options["days"]
        if days is None or days < 1:
            raise CommandError("A purge needs --days, 1 at least: how long ago they were handled.")
        letters = purging.purgeable(letters, days)
        total = letters.count()
        if options["dry_run"] or not total:
            self.stdout.write(f"purge: {total} handled dead letters chosen, nothing done")
            return
        self._confirm(f"delete {total} handled dead letters for ever?", options)
        done = 0
        with Progress(self.stderr, "purge", total) as progress:
            for count in purging.purge(letters):
                done += count
                progress.add(count)
        logger.info("dead letters purged", by=operator(), days=days, count=done)
        self.stdout.write(f"purge: {done} deleted")

    def _confirm(self, question: str, options: dict[str, Any]) -> None:
        if options["yes"]:
            return
        self.stderr.write(f"{question} [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing done.")


def _replayer(options: dict[str, Any]) -> Handler:
    how: dict[str, Any] = {"by": operator(), "note": _note(options), "even_if_sent": options["even_if_sent"]}
    if options["to"] and options["to_same"]:
        raise CommandError("Either --to or --to-same.")
    if options["to_same"]:
        return partial(replays.replay_by_same, **how)
    via = directory.entries().get(options["to"]) if options["to"] else None
    if options["to"] and via is None:
        raise CommandError(f'There is no connection "{options["to"]}".')
    return partial(replays.replay, via=via, **how)


def _discarder(options: dict[str, Any]) -> Handler:
    note = _note(options)
    if not note:
        raise CommandError("A discard needs --note: why nothing shall come of these.")
    return partial(replays.discard, by=operator(), note=note)


def _note(options: dict[str, Any]) -> str:
    note: str = options["note"]
    if len(note) > NOTE_LENGTH:
        raise CommandError(f"A --note has {NOTE_LENGTH} characters at most.")
    return note


def _chosen(options: dict[str, Any]) -> QuerySet[DeadLetter]:
    letters = DeadLetter.objects.order_by("id")
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
    if options["provider"]:
        letters = letters.filter(connection__provider=options["provider"])
    if options["since"]:
        letters = letters.filter(created_at__gte=options["since"])
    if options["until"]:
        letters = letters.filter(created_at__lt=options["until"])
    return letters


def _moment(text: str) -> datetime:
    """A date, or a date and time; in UTC where no offset is given."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
