"""One call to a client's endpoint, and what it says. Runs in a thread: no database here.

A status of 2xx is the acknowledgement, whatever becomes of the body behind it; everything else is a failure. Redirects
are answers and not followed. The URL is checked again before the call, and its address when it is connected to.
"""

import gzip
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone

from sendmsg import destinations
from sendmsg.destinations import RefusedURL
from sendmsg.errors import CallFailed
from sendmsg.http import HttpClient, build_session
from sendmsg.telemetry.logging import belonging
from webhooks.callbacks import signing
from webhooks.callbacks.models import RESPONSE_LENGTH
from webhooks.callbacks.spans import CallbackSpan

logger = structlog.stdlib.get_logger(__name__)

CONNECT: Final = 5.0  # seconds: name, TCP and TLS
SILENCE: Final = 15.0  # seconds; the total ends it
TOTAL: Final = 15.0  # seconds; what the spec advises to give a receiver
RESPONSE_BYTES: Final = 65_536  # read, and then forgotten but for the beginning
KEPT_HOSTS: Final = 100  # whose connections are kept open
RETRY_LATER: Final = frozenset({429, 503})  # answers whose Retry-After counts for the whole endpoint


@dataclass(frozen=True, slots=True)
class Task:
    """A callback that is ours until `lease`. `keys`: the secrets, none where they can't be read. `probe`: its endpoint
    is being tried out again. `compress`: it wants gzip. `trace`, `request_id`: of the message that it is about."""

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    url: str = field(repr=False)
    body: str = field(repr=False)
    compress: bool
    keys: tuple[str, ...] = field(repr=False)
    attempts: int
    happened_at: datetime
    lease: datetime
    probe: bool
    type: str
    message_id: UUID | None
    trace: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Result:
    """How a call ended. `status`: None without an answer. `code`: why it counts as a failure; "" if it does not."""

    task: Task
    status: int | None
    code: str
    body: str = field(repr=False)
    seconds: float
    retry_after: float | None
    at: datetime

    @property
    def delivered(self) -> bool:
        return not self.code

    @property
    def gone(self) -> bool:
        return self.status == 410


@cache
def client() -> HttpClient:
    """The one of this process."""
    return build_session(
        connect_timeout=CONNECT,
        read_timeout=SILENCE,
        total_timeout=TOTAL,
        pool_size=settings.CALLBACKS_THREADS,
        max_response_bytes=RESPONSE_BYTES,
        max_hosts=max(KEPT_HOSTS, 2 * settings.CALLBACKS_THREADS),
        permits=destinations.permits,
    )


def deliver(task: Task) -> Result:
    """Make the call. Never raises: a mistake of ours is one failed attempt and not the end of the pump."""
    span, began = CallbackSpan(task.trace), timezone.now()
    with belonging(callback_id=task.id, message_id=task.message_id, request_id=task.request_id):
        result = _deliver(task, span.headers, began)
        span.over(result, began)
    return result


def _deliver(task: Task, trace: dict[str, str], began: datetime) -> Result:
    status, code, text, retry_after = None, "", "", None
    if not task.keys:
        return Result(task, None, "secret_unreadable", "", 0.0, None, began)
    try:
        destinations.check_url(task.url)
        encoding, body = _encoded(task)
        head = {
            "Content-Type": "application/json",
            **trace,
            **signing.headers(task.event_id, task.body, task.keys, began),
        }
        answer = client().request("POST", task.url, headers={**head, **encoding}, body=body)
        status, text = answer.status, _legible(answer.body)
        retry_after = answer.retry_after()
    except RefusedURL as refused:
        code = refused.code
    except CallFailed as failed:
        code, status = failed.code, getattr(failed, "status", None)
    except Exception as error:
        logger.error("callback raised", exc_info=error)
        code = "callback_error"
    if status is not None:
        code = "" if 200 <= status < 300 else f"http_{status}"
    now = timezone.now()
    return Result(task, status, code, text, (now - began).total_seconds(), retry_after, now)


def _encoded(task: Task) -> tuple[dict[str, str], bytes]:
    """The body as it is sent, and the header that says how. The signature is of the body before it is compressed."""
    plain = task.body.encode()
    if task.compress:
        short = gzip.compress(plain, mtime=0)  # every try sends the same bytes
        if len(short) < len(plain):
            return {"Content-Encoding": "gzip"}, short
    return {}, plain


def _legible(body: bytes) -> str:
    """The beginning of an answer, in a form that Postgres can hold."""
    return body[: 4 * RESPONSE_LENGTH].decode("utf-8", "replace").replace("\0", "\ufffd")[:RESPONSE_LENGTH]
