"""The door for providers: verify, store, answer; nothing else happens in the request.

200   stored, or a copy of what was stored, or the answer to a handshake
400   signed, but can't be read: the provider should look at it
401   not proven to come from the provider; nothing was stored
404   no such connection of that provider
405   the provider doesn't use this method
413   over `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes, inflated; a batch of receipts is a few kilobytes
415   compressed in a way that we don't know
503   could not be checked or stored: the provider will send it again
"""

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from dispatch import directory
from dispatch.directory import Entry
from sendmsg.errors import (
    BufferUnavailable,
    ConfigurationError,
    MalformedWebhook,
    SignatureRefused,
    VerifierUnavailable,
)
from sendmsg.inflate import InflateError, inflate
from sendmsg.telemetry import metrics
from webhooks.inbound import access, buffer, replays
from webhooks.inbound.base import InboundProvider, Reply, WebhookRequest
from webhooks.inbound.registry import INBOUND

logger = structlog.stdlib.get_logger(__name__)


@csrf_exempt
def receive(request: HttpRequest, provider: str, connection: str, token: str = "") -> HttpResponse:
    answer = _receive(request, provider, connection, token)
    # Django logs the path of what fails, and that may hold a token; ours are logged where they are found.
    answer._has_been_logged = True  # type: ignore[attr-defined]  # how Django marks what needs no line any more
    return answer


def _receive(request: HttpRequest, provider: str, connection: str, token: str) -> HttpResponse:
    inbound = INBOUND.get(provider)
    try:
        entry = directory.entries().get(connection)
    except (Error, ConfigurationError):
        return _later("connections_unavailable")
    if inbound is not None and request.method not in inbound.methods:
        return HttpResponseNotAllowed(sorted(inbound.methods))
    if inbound is None or entry is None or entry.provider != provider:
        return HttpResponse("no such webhook\n", status=404, content_type="text/plain")
    if entry.fault:
        return _later("connection_unusable")
    try:
        reply = _take(inbound, entry, _received(request, token))
    except (RequestDataTooBig, InflateError, UnreadablePostError) as error:
        return _unreadable(error)
    except SignatureRefused as error:
        logger.warning("webhook refused", connection=connection, reason=error.code)
        return _refused(error.code, 401)
    except MalformedWebhook as error:
        logger.warning("webhook malformed", connection=connection, reason=error.detail)
        return _refused("malformed", 400)
    except VerifierUnavailable as error:
        logger.error("webhook not checked", connection=connection, reason=error.detail)
        return _later("verifier_unavailable")
    except BufferUnavailable as error:
        logger.error("webhook not stored", connection=connection)
        return _refused("too_large", 413) if error.code == "too_large" else _later("buffer_unavailable")
    return HttpResponse(reply.body, content_type=reply.content_type)


def _take(inbound: InboundProvider, entry: Entry, request: WebhookRequest) -> Reply:
    """Verify and store."""
    access.check(request, entry.credentials)
    greeting = inbound.greet(request, entry.credentials)
    if greeting is not None:
        return greeting
    unique = inbound.verify(request, entry.credentials)
    inbound.parse(request.payload)
    proof = replays.proof(entry.name, unique, request, inbound.replay_window)
    buffer.append(entry.name, request.payload, proof)
    return inbound.reply


def _received(request: HttpRequest, token: str) -> WebhookRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = inflate(request.body, headers.get("content-encoding", ""), settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)
    query = str(request.META.get("QUERY_STRING", ""))
    return WebhookRequest(
        headers=headers,
        body=body,
        at=timezone.now(),
        method=request.method or "",
        url=f"{settings.PUBLIC_URL}{request.path}{'?' if query else ''}{query}",
        query=query,
        remote_address=_remote_address(request),
        token=token,
    )


def _remote_address(request: HttpRequest) -> str:
    """Who connected to us, or to our proxy: it adds its client at the end, what stands before is anybody's claim."""
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.TRUST_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR", ""))


def _unreadable(error: Exception) -> HttpResponse:
    """For a body that can't be had."""
    code = error.code if isinstance(error, InflateError) else ""
    if code == "content_encoding_unsupported":
        return _refused("unsupported_encoding", 415)
    if code == "body_too_large" or isinstance(error, RequestDataTooBig):
        return _refused("too_large", 413)
    return _refused("malformed", 400)


def _refused(reason: str, status: int) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse(f"refused: {reason}\n", status=status, content_type="text/plain")


def _later(reason: str) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse("try again\n", status=503, content_type="text/plain", headers={"Retry-After": "5"})
