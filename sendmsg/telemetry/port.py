"""`METRICS_PORT`: lets Prometheus read the metrics of processes that have no web server.

Of those that share a port and a folder one answers for all; when it ends another takes the port over. A process that
can't have the port does its work all the same.
"""

import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from django.conf import settings

from sendmsg.telemetry import exposition

logger = structlog.stdlib.get_logger(__name__)

SILENCE: Final = 5  # seconds without a word after which a connection is closed
TRY_EVERY: Final = 2.0  # seconds between two tries to have the port


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    timeout = SILENCE

    def log_message(self, *args: Any) -> None:
        """A scrape is no event."""


def open_port() -> None:
    """Answer on `METRICS_PORT` from now on, in a thread; does nothing where it is 0."""
    if settings.METRICS_PORT:
        threading.Thread(target=_serve, args=(settings.METRICS_PORT,), name="metrics", daemon=True).start()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`GET /metrics`, as the web process answers it."""
    status, kind, body = "200 OK", exposition.CONTENT_TYPE, b""
    if environ["PATH_INFO"] != "/metrics" or environ["REQUEST_METHOD"] != "GET":
        status, kind, body = "404 Not Found", "text/plain", b"only GET /metrics is here\n"
    elif not exposition.permits(environ.get("HTTP_AUTHORIZATION", "")):
        status, kind, body = "401 Unauthorized", "text/plain", exposition.UNAUTHORIZED.encode()
    else:
        body = exposition.text()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _serve(number: int) -> None:
    told = False
    while True:
        try:
            with make_server("", number, application, Server, Handler) as server:
                logger.info("metrics served", port=number)
                server.serve_forever()
        except OSError as error:
            if not told:
                logger.warning("metrics not served yet", port=number, reason=error.strerror)
                told = True
            time.sleep(TRY_EVERY)
