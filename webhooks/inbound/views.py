"""The door for providers: verify, store, answer; nothing else happens in the request.

200   stored
400   signed, but can't be read: the provider should look at it
401   not proven to come from the provider; nothing was stored
404   no such connection of that provider
413   over `MAX_BODY`
503   could not be stored: the provider will send it again
"""

import logging

from django.conf import settings
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

MAX_BODY = settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # bytes; a batch of receipts is a few kilobytes


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
    try:
        body = request.body
    except RequestDataTooBig:
        return _refused("too_large", 413)
    headers = {name.lower(): value for name, value in request.headers.items()}
    received = WebhookRequest(headers, body, timezone.now())
    try:
        inbound.verify(received, entry.credentials)
        inbound.parse(body, received.at)
        buffer.append(connection, body, received.at)
    except SignatureRefused as error:
        logger.warning("webhook refused connection=%s reason=%s", connection, error.code)
        return _refused(error.code, 401)
    except MalformedWebhook as error:
        logger.warning("webhook malformed connection=%s reason=%s", connection, error.detail)
        return _refused("malformed", 400)
    except BufferUnavailable:
        logger.error("webhook not stored connection=%s", connection)
        return _later("buffer_unavailable")
    return HttpResponse("ok\n", content_type="text/plain")


def _refused(reason: str, status: int) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse(f"refused: {reason}\n", status=status, content_type="text/plain")


def _later(reason: str) -> HttpResponse:
    metrics.RECEIPTS_REFUSED.labels(reason).inc()
    return HttpResponse("try again\n", status=503, content_type="text/plain", headers={"Retry-After": "5"})
