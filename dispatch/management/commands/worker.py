import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.worker import start


class Command(BaseCommand):
    help = (
        "Run a Celery worker that delivers: threads, the queues of its region's connections, warm shutdown on SIGTERM."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=8, help="Tasks at a time (default 8).")
        parser.add_argument("--connections", default="", help="Only these, by name, with commas; default: by REGION.")
        parser.add_argument("--name", default=f"worker-{os.getpid()}", help="How its name begins (default: by pid).")

    def handle(self, *args: Any, **options: Any) -> None:
        names = [name for name in options["connections"].split(",") if name]
        # Threads: tasks wait on HTTP and Postgres, which release the interpreter. Gossip and mingle are chatter
        # between workers that we don't use; heartbeats stay, they are how Flower sees a worker.
        arguments = [
            "worker",
            "--pool=threads",
            f"--concurrency={options['threads']}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
        try:
            start(names, options["name"], arguments)
        except ValueError as error:
            raise CommandError(str(error)) from None
