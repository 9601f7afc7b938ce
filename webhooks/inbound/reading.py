"""Reading what a provider wrote without trusting it: JSON and forms of any shape in, values that can be stored out.

A document that can't be read raises `MalformedWebhook`; a single value that makes no sense is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from dispatch.providers.base import MAX_CODE, MAX_PROVIDER_ID
from dispatch.vocabulary import ReceiptStatus
from sendmsg.errors import MalformedWebhook
from webhooks.inbound.base import Payload

MAX_FIELDS = 1_000  # of a form; the longest real ones have some thirty
MAX_NUMBER = 32  # characters of a number or a sender; what the columns hold
SHORT_CODE = 8  # digits; a longer number without its + is taken for an international one

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"\+?[0-9]{2,15}")


def json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedWebhook("the body is not JSON") from None
    if not isinstance(document, dict):
        raise MalformedWebhook("the body is not an object")
    return document


def is_form(payload: Payload) -> bool:
    return payload.content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def pairs(text: str) -> list[tuple[str, str]]:
    """The pairs of a query or a form, as they stand there."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise MalformedWebhook("the form has too many fields") from None


def fields(payload: Payload) -> dict[str, Any]:
    """By name, from where the method and the content type say: the query, a form or a JSON object."""
    if payload.method == "GET":
        return dict(pairs(payload.query))
    if is_form(payload):
        return dict(pairs(payload.body.decode("utf-8", "replace")))
    return json_object(payload.body)


def at(document: object, *path: str | int) -> Any:
    """What stands under these keys and indexes; None if the document has another shape."""
    found: Any = document
    for step in path:
        fits = isinstance(found, dict if isinstance(step, str) else list)
        try:
            found = found[step] if fits else None
        except (KeyError, IndexError):
            return None
    return found


def objects(document: object, *path: str | int) -> Iterator[dict[str, Any]]:
    """The objects of the list that stands there; what is no object is passed over."""
    found = at(document, *path)
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def identifier(value: object) -> str:
    """An id; raises `MalformedWebhook` for one that can't be stored."""
    if isinstance(value, str) and _storable(value, MAX_PROVIDER_ID):
        return value
    raise MalformedWebhook("the id is missing or not a short text")


def has_id(document: dict[str, Any], name: str = "id") -> bool:
    """Whether an id stands there that can be stored: one of many that has none must not cost the others."""
    value = document.get(name)
    return isinstance(value, str) and _storable(value, MAX_PROVIDER_ID)


def status(meanings: Mapping[str, str], word: object) -> ReceiptStatus:
    """What a provider's word means, by its adapter's table; a word that is not there is `UNKNOWN`."""
    return ReceiptStatus(meanings.get(word, ReceiptStatus.UNKNOWN)) if isinstance(word, str) else ReceiptStatus.UNKNOWN


def code(value: object) -> str:
    """An error code of the provider's, as a text; empty where there is none, and for zero, which means no error."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MAX_CODE:
        value = str(value)
    if isinstance(value, str) and _storable(value, MAX_CODE) and value.strip("0"):
        return value
    return ""


def text(value: object) -> str:
    """A text for Postgres, which holds neither NUL nor half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().replace("\0", "�")


def phone(value: object) -> str:
    """A number in E.164, whether or not it came with its +; a short code or a name as it came."""
    given = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else value
    spelt = text(given).strip().removeprefix("whatsapp:")
    if not _NUMBER.fullmatch(spelt) or spelt.startswith("+"):
        return spelt[:MAX_NUMBER]
    national = spelt.removeprefix("00")
    return spelt if len(national) <= SHORT_CODE else f"+{national}"


def message_id(value: object) -> UUID | None:
    """An id of ours that came back; None for anything that is none."""
    return UUID(value) if isinstance(value, str) and _UUID.fullmatch(value) else None


def moment(value: object, otherwise: datetime) -> datetime:
    """An ISO 8601 time with its offset."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            if found.tzinfo is not None and found.year > 1970:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):  # the last hours of the year 9999 have no UTC
            return otherwise
    return otherwise


def epoch(value: object, otherwise: datetime, unit: float = 1.0) -> datetime:
    """A Unix time in units of so many seconds, as a number or in digits."""
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 16):
        return otherwise
    try:
        return datetime.fromtimestamp(int(digits) * unit, UTC)
    except (ValueError, OverflowError, OSError):
        return otherwise


def clock(value: object, form: str, otherwise: datetime) -> datetime:
    """A time in UTC, written as `form` says."""
    try:
        return datetime.strptime(value if isinstance(value, str) else "", form).replace(tzinfo=UTC)
    except ValueError:
        return otherwise


def _storable(value: str, longest: int) -> bool:
    return 0 < len(value) <= longest and value.isascii() and value.isprintable()
