"""`manage.py providers`: connections and routes from a file, and what an operator does to connections by hand."""

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import checkup, directory, history, rotation, serving
from dispatch.breaker import Health
from dispatch.declarations import apply, schema, wanted
from dispatch.declarations.schema import DeclarationError
from dispatch.management.operator import operator
from dispatch.models import Connection
from dispatch.vitals import vitals

MAX_WEIGHT = 32_767  # what the column holds
COLUMNS = ("name", "provider", "region", "enabled", "paused", "breaker", "weight", "rate", "latency")


class Command(BaseCommand):
    help = "Connections to providers: apply a file, list, check, pause, resume, weigh, reencrypt."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        applying = actions.add_parser("apply", help="Make connections and routes what a YAML file says.")
        applying.add_argument("file", metavar="FILE", help="The file; - for standard input.")
        applying.add_argument("--dry-run", action="store_true", help="Print the differences, and change nothing.")
        applying.add_argument("--prune", action="store_true", help="Switch off what is not in the file.")
        actions.add_parser("list", help="A line for each connection: its switches and how it does.")
        check = actions.add_parser("check", help="Try connections for real, without sending anything.")
        check.add_argument("names", nargs="*", metavar="NAME", help="These; without, all that are enabled.")
        pause = actions.add_parser("pause", help="Send nothing by a connection until it is resumed.")
        pause.add_argument("name", metavar="NAME")
        pause.add_argument("--reason", required=True, help="Why; it is shown wherever the connection is.")
        resume = actions.add_parser("resume", help="Send by a paused connection again.")
        resume.add_argument("name", metavar="NAME")
        resume.add_argument("--reason", default="", help="Why.")
        weigh = actions.add_parser("weigh", help="Give a connection another share of the messages.")
        weigh.add_argument("name", metavar="NAME")
        weigh.add_argument("weight", metavar="N", type=int)
        actions.add_parser("reencrypt", help="Encrypt all credentials with the newest of CREDENTIALS_KEYS.")

    def handle(self, *args: Any, **options: Any) -> None:
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "apply": self._apply,
            "list": self._list,
            "check": self._check,
            "pause": self._pause,
            "resume": self._resume,
            "weigh": self._weigh,
            "reencrypt": self._reencrypt,
        }
        actions[options["action"]](options)

    def _apply(self, options: dict[str, Any]) -> None:
        try:
            declaration = wanted.parse(_text(options["file"]))
            lines = apply.apply(declaration, operator(), prune=options["prune"], dry_run=options["dry_run"])
        except DeclarationError as error:
            raise CommandError("\n".join([f"{options['file']}: nothing was changed.", *error.errors])) from None
        for line in lines or ["nothing to change"]:
            self.stdout.write(line)
        if lines and options["dry_run"]:
            self.stdout.write("dry run: nothing was changed")

    def _list(self, options: dict[str, Any]) -> None:
        rows = list(Connection.objects.defer("credentials"))
        found = vitals([row.name for row in rows])
        if rows and not found:
            self.stderr.write("Redis is away: how connections do is not known.")
        unserved = serving.unserved()
        table = [COLUMNS, *(_row(row, found.get(row.name), unserved) for row in rows)]
        widths = [max(len(line[at]) for line in table) for at in range(len(COLUMNS))]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())

    def _check(self, options: dict[str, Any]) -> None:
        entries = directory.entries()
        for name in options["names"]:
            if name not in entries:
                raise CommandError(_unknown(name))
        names = options["names"] or [name for name, entry in entries.items() if entry.enabled]
        found = checkup.check([entries[name] for name in names])
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            self.stdout.write(f"{one.name.ljust(width)}  {'ok' if one.ok else 'failed'}  {one.detail}")
        failed = sum(not one.ok for one in found)
        if failed:
            raise CommandError(f"{failed} of {len(found)} failed.")

    def _pause(self, options: dict[str, Any]) -> None:
        done = history.pause(_connection(options["name"]), operator(), options["reason"])
        self.stdout.write(f"{options['name']}: {'paused' if done else 'it was paused before'}")

    def _resume(self, options: dict[str, Any]) -> None:
        done = history.resume(_connection(options["name"]), operator(), options["reason"])
        self.stdout.write(f"{options['name']}: {'resumed' if done else 'it was not paused'}")

    def _weigh(self, options: dict[str, Any]) -> None:
        if not 0 <= options["weight"] <= MAX_WEIGHT:
            raise CommandError(f"A weight is a number from 0 to {MAX_WEIGHT}.")
        row = _connection(options["name"])
        done = history.weigh(row, options["weight"], operator())
        self.stdout.write(f"{row.name}: {f'weight {row.weight} -> ' if done else 'it has weight '}{options['weight']}")

    def _reencrypt(self, options: dict[str, Any]) -> None:
        done = rotation.reencrypt()
        self.stdout.write(f"encrypted anew: {done.written}")
        if done.unreadable:
            raise CommandError(f"No key of CREDENTIALS_KEYS reads: {', '.join(done.unreadable)}. Enter them anew.")


def _text(path: str) -> str:
    """One character more than is taken, at most."""
    most = schema.MAX_FILE + 1
    try:
        if path == "-":
            return sys.stdin.read(most)
        with Path(path).open(encoding="utf-8") as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}.") from None


def _connection(name: str) -> Connection:
    row = Connection.objects.defer("credentials").filter(name=name).first()
    if row is None:
        raise CommandError(_unknown(name))
    return row


def _unknown(name: str) -> str:
    names: Sequence[str] = list(Connection.objects.values_list("name", flat=True))
    return f'There is no connection "{name}". There are: {", ".join(names) or "none"}.'


def _row(row: Connection, known: Health | None, unserved: Collection[int]) -> tuple[str, ...]:
    health = known or Health()
    state = health.state.label + (f" ({health.reason})" if health.reason else "")
    return (
        row.name,
        row.provider,
        row.region or "-",
        (f"yes: {serving.NOBODY}" if row.pk in unserved else "yes") if row.enabled else "no",
        (f"yes: {row.pause_reason}" if row.pause_reason else "yes") if row.paused_at else "no",
        state if known else "?",
        f"{row.weight} x {health.factor:.2f}" if known else str(row.weight),
        f"{row.rate:g}/s" if row.rate is not None else "-",
        f"{health.latency * 1000:.0f} ms" if health.latency else "-",
    )
