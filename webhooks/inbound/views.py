"""The door for providers: verify, store, answer; nothing else happens in the request.

200   stored
400   signed, but can't be read: the provider should look at it
401   not proven to come from the provider; nothing was stored
404   no such connection of that provider
413   over `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes; a batch of receipts is a few kilobytes
503   could not be stored: the provider will send it again
"""

import logging

from django.core.exceptions import RequestDataTooBig
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from dispatch import directory
from sendmsg.errors import BufferUnavailable, ConfigurationError, MalformedWebhook, SignatureRefused
from sendmsg.telemetry import metrics
from webhooks.inbound import buffer
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.registry import INBOUND

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def receive(request: HttpRequest, provider: str, connection: str) -> HttpResponse:
    inbound = INBOUND.get(provider)
    try:
        entry = directory.entries().get(connection)
    except (Error, ConfigurationError):
        return _later("connections_unavailable")
    if inbound is None or entry is None or entry.provider != provider:
        return HttpResponse("no such webhook\n", status=404, content_type="text/plain")
    if entry.fault:
        return _later("connection_unusable")
    answer = HttpResponse("ok\n", content_type="text/plain")
    try:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = WebhookRequest(headers, request.body, timezone.now())
        inbound.verify(received, entry.credentials)
        inbound.parse(received.body, received.at)
        buffer.append(connection, received.body, received.at)
    except RequestDataTooBig:
        answer = _refused("too_large", 413)
    except SignatureRefused as error:
        logger.warning("webhook refused connection=%s reason=%s", connection, error.code)
        answer = _refused(error.code, 401)
    except MalformedWebhook as error:
        logger.warning("webhook malformed connection=%s reason=%s", connection, error.detail)
        answer = _refused("malformed", 400)
    except BufferUnavailable:
        logger.error("webhook not stored connection=%s", connection)
        answer = _later("buffer_unavailable")
    return answer


def _refused(reason: str, status: int) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse(f"refused: {reason}\n", status=status, content_type="text/plain")


def _later(reason: str) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse("try again\n", status=503, content_type="text/plain", headers={"Retry-After": "5"})
