"""What a request to the sandbox provider must look like; `docs/provider-protocol.md` says it in words."""

import json
import re
from dataclasses import dataclass
from typing import Any

from sendmsg.sandbox.keepalive import target
from sendmsg.sandbox.scenarios import Refusal

MAX_BODY = 65_536  # bytes; ten parts of text need less than 10 kB in any encoding
CHANNELS = ("sms", "whatsapp")

UNAUTHORIZED = Refusal(401, "unauthorized", "The API key is missing or wrong.")
TOO_LARGE = Refusal(413, "too_large", "The request body is larger than 64 kB.")
IN_PROGRESS = Refusal(409, "in_progress", "This idempotency key is being processed.", retry_after=1)
OVERLOADED = Refusal(503, "unavailable", "Too many receipts are waiting to be taken.", retry_after=1)
NOT_FOUND = Refusal(404, "not_found", "There is no such message.")
INVALID_RECIPIENT = Refusal(422, "invalid_recipient", "to: expected E.164, as +447700900000.")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Submission:
    """One well-formed send. Sender, text and channel are checked and dropped: nothing is sent with them."""

    key: str
    to: str
    receipt_url: str | None


def read_submission(key: str | None, body: bytes) -> Submission | Refusal:
    """Reads a POST by its idempotency key and raw body. Fields that the protocol doesn't know are ignored."""
    if key is None or not _KEY.fullmatch(key):
        return _invalid("Idempotency-Key: expected 1 to 255 visible ASCII characters.")
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):
        return _invalid("The request body is no JSON.")
    if not isinstance(message, dict):
        return _invalid("The request body is no JSON object.")
    to, receipt_url = message.get("to"), message.get("receipt_url")
    if not isinstance(to, str):
        return _invalid("to: expected a string.")
    if not isinstance(message.get("body"), str) or not message["body"]:
        return _invalid("body: expected a text that is not empty.")
    if message.get("channel") not in CHANNELS:
        return _invalid("channel: expected sms or whatsapp.")
    if not isinstance(message.get("from"), str | None):
        return _invalid("from: expected a string or null.")
    if receipt_url is not None and not _postable(receipt_url):
        return _invalid("receipt_url: expected an absolute http or https URL.")
    if not _E164.fullmatch(to):
        return INVALID_RECIPIENT
    return Submission(key, to, receipt_url)


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request", message)


def _postable(url: Any) -> bool:
    if not isinstance(url, str):
        return False
    try:
        target(url)
    except ValueError:
        return False
    return True
