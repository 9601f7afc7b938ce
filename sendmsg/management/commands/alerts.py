from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sendmsg.alerts.conditions import rules
from sendmsg.alerts.pump import Alerts, once


class Command(BaseCommand):
    help = "Tell by webhook or mail when an alert begins and ends, until SIGTERM: for hosts without a Prometheus."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Print what holds now; exit 1 if anything does.")
        parser.add_argument("--seconds", type=float, default=15, help="With --once: between two looks (default 15).")
        parser.add_argument("--rules", action="store_true", help="Print the conditions as Prometheus's rules.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rules"]:
            self.stdout.write(yaml.safe_dump(rules(), sort_keys=False, width=120), ending="")
        elif options["once"]:
            self._once(options["seconds"])
        else:
            Alerts().run()

    def _once(self, seconds: float) -> None:
        if not 0 <= seconds <= 3600:
            raise CommandError("--seconds must be from 0 to 3600.")
        found = once(seconds)
        for one in found:
            self.stdout.write(one.line)
        if found:
            raise SystemExit(1)
        self.stdout.write("nothing is wrong")
