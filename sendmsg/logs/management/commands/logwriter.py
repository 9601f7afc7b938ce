from typing import Any

from django.core.management.base import BaseCommand

from sendmsg.logs.writer import LogWriter


class Command(BaseCommand):
    help = "Move events from the journal to the logs database, until SIGTERM. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        LogWriter().run()
