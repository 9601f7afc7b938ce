import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sendmsg.celery import app


class Command(BaseCommand):
    help = "Run Flower, which shows workers and tasks, until SIGTERM. It asks for FLOWER_BASIC_AUTH."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--address", default="127.0.0.1", help="Where it listens (default 127.0.0.1).")
        parser.add_argument("--port", type=int, default=5555, help="(default 5555)")

    def handle(self, *args: Any, **options: Any) -> None:
        login = settings.FLOWER_BASIC_AUTH
        if not login:
            raise CommandError("FLOWER_BASIC_AUTH must be set, to user:password: Flower shows and controls workers.")
        # By environment: arguments are in the process list, where everybody reads the password.
        os.environ["FLOWER_BASIC_AUTH"] = login
        # Nothing on the disk: what it shows is what workers tell it from now on.
        arguments = [f"--address={options['address']}", f"--port={options['port']}", "--persistent=false"]
        app.start(["--quiet", "flower", *arguments])
