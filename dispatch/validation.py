"""Rules of a message's text that hold wherever it comes from: one message, a batch or a broadcast."""

from typing import Final

from dispatch.segments import MAX_SEGMENTS, segment
from dispatch.vocabulary import Channel

MAX_BODY: Final = 4096  # characters, of a WhatsApp text (WhatsApp Cloud API); an SMS ends far before


class InvalidBody(ValueError):
    """A text that no message can have. `code` is stable; `detail` is for people and repeats no input.

    Codes: `blank`, `max_length`, `body_too_long` (too many parts).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def measure(body: str, channel: str) -> tuple[int, str]:
    """How many segments a text takes on a channel, and in which encoding. Raises InvalidBody."""
    if not body:
        raise InvalidBody("blank", "The text must not be empty.")
    if len(body) > MAX_BODY:
        raise InvalidBody("max_length", f"At most {MAX_BODY} characters.")
    if channel != Channel.SMS:
        return 1, "utf8"
    parts = segment(body)
    if parts.segments > MAX_SEGMENTS:
        raise InvalidBody("body_too_long", f"{parts.segments} parts; at most {MAX_SEGMENTS}.")
    return parts.segments, parts.encoding.value
