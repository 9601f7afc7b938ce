import os
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dispatch.worker import subscribe
from sendmsg.celery import app


class Command(BaseCommand):
    help = "Run a Celery worker that delivers: threads, all connections' queues, warm shutdown on SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=8, help="Tasks at a time (default 8).")
        parser.add_argument("--name", default=f"worker-{os.getpid()}", help="Name before the @ (default: by pid).")

    def handle(self, *args: Any, **options: Any) -> None:
        subscribe()
        # Threads: tasks wait on HTTP and Postgres, which release the interpreter. Gossip and mingle are chatter
        # between workers that we don't use; heartbeats stay, they are how Flower sees a worker.
        app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={options['threads']}",
                f"--hostname={options['name']}@{socket.gethostname()}",
                "--without-gossip",
                "--without-mingle",
                "--loglevel=WARNING",
            ]
        )
