"""Reads a message that is right in every respect, without serializers, which would be half of what accepting it costs.

What comes out is what `dispatch.serializers.NewMessage` would have made of it; a test holds the two together. Anything
that is not plain, a mistake or a rarely used field, is None: the serializer reads it anew and has the words for it.
"""

from collections.abc import Mapping
from typing import Any, Final

from dispatch import numbers, senders
from dispatch.serializers import (
    MAX_KEY,
    MAX_PAIRS,
    MAX_REFERENCE,
    MAX_SENDER,
    MAX_VALIDITY,
    MAX_VALUE,
    PRIORITIES,
)
from dispatch.validation import MAX_BODY, InvalidBody, measure
from dispatch.vocabulary import Channel
from sendmsg import destinations

LONGEST: Final[Mapping[str, int]] = {
    "to": numbers.MAX_TEXT_LENGTH,
    "body": MAX_BODY,
    "from": MAX_SENDER,
    "client_reference": MAX_REFERENCE,
    "callback_url": destinations.MAX_URL,
}
"""Texts, none of which may be empty, and their characters."""
NEEDED: Final = frozenset({"to", "body"})
KNOWN: Final = frozenset({*LONGEST, "channel", "priority", "valid_for", "metadata"})
CHANNELS: Final[Mapping[str, Channel]] = {channel.value: channel for channel in Channel}


def read(data: object) -> dict[str, Any] | None:
    """The validated values of a plain message, given as JSON values; None for what the serializer must read."""
    if not isinstance(data, dict) or not NEEDED <= data.keys() <= KNOWN:
        return None
    for name, longest in LONGEST.items():
        if name in data and not _text(data[name], longest):
            return None
    channel, priority = data.get("channel", "sms"), data.get("priority", "normal")
    if not isinstance(channel, str) or channel not in CHANNELS:
        return None
    if not isinstance(priority, str) or priority not in PRIORITIES or not _rest(data):
        return None
    wanted = {**data, "channel": CHANNELS[channel].value, "priority": priority}
    try:
        wanted["to"] = numbers.normalise(data["to"])
        wanted["segments"], wanted["encoding"] = measure(data["body"], channel)
        if "from" in data:
            wanted["from"] = senders.check_sender(data["from"], channel)
        if "callback_url" in data:
            destinations.check_url(data["callback_url"])
    except (numbers.InvalidNumber, InvalidBody, senders.InvalidSender, destinations.RefusedURL):
        return None
    return wanted


def _text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def _rest(data: Mapping[str, Any]) -> bool:
    """Whether what is no text is as it should be."""
    valid_for = data.get("valid_for", 1)
    if type(valid_for) is not int or not 0 < valid_for <= MAX_VALIDITY:
        return False
    pairs = data.get("metadata", {})
    return (
        isinstance(pairs, dict)
        and len(pairs) <= MAX_PAIRS
        and all(
            0 < len(key) <= MAX_KEY and isinstance(value, str) and len(value) <= MAX_VALUE
            for key, value in pairs.items()
        )
    )
