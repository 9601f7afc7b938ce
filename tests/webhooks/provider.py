"""Speaks for the provider: signs receipts as docs/provider-protocol.md says, apart from the code under test."""

import hashlib
import hmac
import json
from typing import Any
from uuid import uuid4

from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from tests.factories import RECEIPT_SECRET


def report(provider_id: str, status: Any = "delivered", **fields: Any) -> bytes:
    """The body of a receipt."""
    document = {
        "event_id": f"evt_{uuid4().hex}",
        "type": "receipt",
        "id": provider_id,
        "status": status,
        "error_code": None,
        "at": timezone.now().isoformat(),
    }
    return json.dumps({**document, **fields}).encode()


def signature(secret: str, stamp: str, body: bytes) -> str:
    """One element of the signature header."""
    return "v1=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def signed(body: bytes, secret: str = RECEIPT_SECRET, late: int = 0) -> dict[str, str]:
    """The headers of a receipt; `late` is how many seconds ago it was signed."""
    stamp = str(int(timezone.now().timestamp()) - late)
    return {"SendMSG-Timestamp": stamp, "SendMSG-Signature": signature(secret, stamp, body)}


def deliver(
    body: bytes, headers: dict[str, str] | None = None, path: str = "/webhooks/sendmsg/sendmsg"
) -> HttpResponse:
    """Post a receipt through the whole web stack, signed unless `headers` say otherwise."""
    client = Client(enforce_csrf_checks=True)
    answer = client.post(path, body, "application/json", headers=signed(body) if headers is None else headers)
    assert isinstance(answer, HttpResponse)
    return answer
