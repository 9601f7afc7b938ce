"""Senders: what a message may say it is from.

A sender is a number, a short code or an alphanumeric name. The check is about form only; whether a route or a
country allows a sender is for routing and the provider to say.
"""

import re
from typing import Final

from dispatch.numbers import InvalidNumber, normalise

# 3GPP TS 23.040 gives a name 11 septets; the punctuation is what providers agree on.
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 _&.-]{2,11}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_DIGITS: Final = re.compile(r"[0-9]+")

_NUMBER_ONLY_CHANNELS: Final = frozenset({"whatsapp"})
"""Channels (values of `Channel`) that know accounts by their telephone number and have no other senders."""


class InvalidSender(ValueError):
    """A text no message can be from. `code` is stable; `detail` is for people and repeats no input.

    Codes: `sender_invalid` (neither a number, a short code nor a name), `sender_missing_plus` (a number
    without its leading +), `sender_not_number` (this channel sends from numbers only).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def check_sender(text: str, channel: str) -> str:
    """The sender `text` names on `channel`: a number in E.164, or a short code or name without outer spaces.

    Raises InvalidSender. No answer holds a line break, so it is safe in a header.
    """
    sender = text.strip(" ")
    if sender.startswith("+"):
        return _number(sender)
    if channel in _NUMBER_ONLY_CHANNELS:
        raise InvalidSender("sender_not_number", f"A {channel} sender is a number, such as +447700900123.")
    if _SHORT_CODE.fullmatch(sender) or _NAME.fullmatch(sender):
        return sender
    if _DIGITS.fullmatch(sender):
        raise InvalidSender("sender_missing_plus", "A number starts with +; a short code has 3 to 8 digits.")
    raise InvalidSender(
        "sender_invalid",
        "A sender is a number (+447700900123), a short code (3 to 8 digits) or a name: 2 to 11 of A-Z, "
        "a-z, 0-9, space, - _ & and . with at least one letter.",
    )


def _number(text: str) -> str:
    """A number as a sender, its refusal in the words of this module."""
    try:
        return normalise(text)
    except InvalidNumber as error:
        raise InvalidSender("sender_invalid", error.detail) from error
