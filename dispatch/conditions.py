"""What may be written as the conditions and steps of a route, for the admin and for files; one spelling of each.

Each function raises Django's `ValidationError`, whose text says what to write instead. The answers are what the columns
of `Route` and `RouteStep` hold, and what `dispatch.routes` reads.
"""

import re
from collections.abc import Iterable
from typing import Final

import phonenumbers
from django.core.exceptions import ValidationError

from dispatch import numbers, senders
from dispatch.providers import registry
from dispatch.routes import PRIORITIES
from dispatch.vocabulary import Channel
from sendmsg.errors import UnknownProvider

_PREFIX: Final = re.compile(rf"\+[1-9][0-9]{{0,{numbers.MAX_DIGITS - 1}}}")


def destination(word: str) -> str:
    """A prefix (`+4477`) or a country (`GB`, in upper case)."""
    if _PREFIX.fullmatch(word):
        return word
    if word.upper() in phonenumbers.SUPPORTED_REGIONS:
        return word.upper()
    if word[:1] in "+0123456789":
        raise ValidationError(f"{word} is no prefix: write + and the digits that numbers begin with, such as +4477.")
    raise ValidationError(f"{word} is no country: write its two letters of ISO 3166, such as GB, or a prefix.")


def sender(text: str, channel: str) -> str:
    """A sender as messages of `channel` have it; "" is any channel."""
    try:
        return senders.check_sender(text, channel or Channel.SMS)
    except senders.InvalidSender as error:
        raise ValidationError(f"{text}: {error.detail}") from None


def priority(word: str) -> str:
    """The name of a priority."""
    if word.lower() not in PRIORITIES:
        raise ValidationError(f"{word} is no priority: they are {', '.join(PRIORITIES)}.")
    return word.lower()


def destinations(words: Iterable[str]) -> str:
    """The column's text, each once."""
    return " ".join(dict.fromkeys(destination(word) for word in words))


def senders_of(lines: Iterable[str], channel: str) -> str:
    """The column's text, each once."""
    return "\n".join(dict.fromkeys(sender(line, channel) for line in lines))


def priorities(words: Iterable[str]) -> str:
    """The column's text, the most urgent first."""
    found = {priority(word) for word in words}
    return " ".join(name for name in PRIORITIES if name in found)


def speaks(provider: str, channel: str) -> None:
    """Refuses a step that could take no message: `channel` is the step's or else the route's, "" for any."""
    try:
        channels = registry.get(provider).capabilities.channels
    except UnknownProvider as error:
        raise ValidationError(error.detail) from None
    if channel and channel not in channels:
        spoken = " and ".join(sorted(channels))
        raise ValidationError(f"{provider} does not speak {channel}, only {spoken}.")
