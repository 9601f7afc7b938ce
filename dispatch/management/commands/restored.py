from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dispatch.restored import catch_up


class Command(BaseCommand):
    help = "After the default database was restored: bring messages to where their timelines ended, before any is sent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say how many, and do nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = catch_up(dry_run=options["dry_run"])
        for kind, count in sorted(counts.items()):
            self.stdout.write(f"{kind}\t{count}")
        if not counts:
            self.stdout.write("no message is behind its timeline")
