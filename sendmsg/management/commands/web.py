"""`manage.py web`: serve the API, the admin and the webhooks.

granian reads and writes HTTP outside of Python's lock; its processes call the WSGI application in threads, because a
request waits for Postgres, which lets the others run. How long headers may take is bounded there, and bodies are by
the proxy in front. SIGTERM: requests under way are answered, for `KILL_AFTER` seconds at the most; SIGHUP starts the
processes anew, one after the other.
"""

import multiprocessing
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

THREADS = 8  # requests of one process that wait for Postgres or Redis at a time
KILL_AFTER = 30  # seconds for requests under way when a deploy stops the process


class Command(BaseCommand):
    help = "Serve the API, the admin and the webhooks, until SIGTERM. Any number may run, behind a TLS proxy."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", type=_address, default=("127.0.0.1", 8000), metavar="HOST:PORT")
        parser.add_argument("--workers", type=int, default=1, help="Processes (default 1); one a core is a start.")
        parser.add_argument("--threads", type=int, default=THREADS, help=f"Requests of one at a time ({THREADS}).")
        parser.add_argument("--kill-after", type=int, default=KILL_AFTER, help=f"Seconds to shut down ({KILL_AFTER}).")

    def handle(self, *args: Any, **options: Any) -> None:
        # Not forked: connections, threads and random numbers that exist by now would be shared.
        multiprocessing.set_start_method("spawn")
        address, port = options["bind"]
        Granian(
            settings.WSGI_APPLICATION.replace(".application", ":application"),
            address=address,
            port=port,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            websockets=False,
            workers=options["workers"],
            blocking_threads=options["threads"],
            workers_kill_timeout=options["kill_after"],
            respawn_failed_workers=True,
            log_level=LogLevels.warning,
            log_dictconfig={**settings.LOGGING, "loggers": {"_granian": {"propagate": True}}},  # its lines as ours
        ).serve()


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65_535:
        raise ArgumentTypeError(f'"{text}" is no HOST:PORT, like 0.0.0.0:8000')
    return host.strip("[]"), int(port)
