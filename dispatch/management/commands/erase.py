"""`manage.py erase +447700900123 --reason "request 4711"`: everything about a person, everywhere, for good."""

import sys
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import numbers
from dispatch.management.operator import operator
from dispatch.retention import erasure
from sendmsg.errors import ArchiveBusy

logger = structlog.stdlib.get_logger(__name__)

REASON_LENGTH = 300  # characters; what the column holds


class Command(BaseCommand):
    help = "Erase a recipient from both databases and the archive. What is counted stays, and so do suppressions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="In E.164: +447700900123.")
        parser.add_argument("--reason", required=True, help="Who asked, or the request's reference; kept for ever.")
        parser.add_argument("--yes", action="store_true", help="Don't ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        number, reason = _number(options["number"]), options["reason"].strip()
        if not 0 < len(reason) <= REASON_LENGTH or number.removeprefix("+") in reason:
            raise CommandError(f"A --reason has 1 to {REASON_LENGTH} characters, and not the number: it is kept.")
        if not options["yes"]:
            self._confirm(numbers.mask(number))
        try:
            report = erasure.erase(number, operator(), reason)
        except ArchiveBusy as error:
            raise CommandError(str(error)) from None
        logger.info("recipient erased", by=operator(), rows=sum(report.counts.values()))
        for kind, count in report.counts.items():
            self.stdout.write(f"{kind}: {count}")
        if report.under_way:
            raise CommandError(f"{report.under_way} messages are under way: run this again in a minute.")

    def _confirm(self, shown: str) -> None:
        self.stderr.write(f"erase {shown} for ever? [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing done.")


def _number(text: str) -> str:
    try:
        return numbers.normalise(text)
    except numbers.InvalidNumber as error:
        raise CommandError(error.detail) from None
