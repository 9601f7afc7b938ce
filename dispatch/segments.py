"""How many parts a text takes on the air, and in which alphabet.

Providers bill and throttle by part, so the count here must be the one the handset network arrives at.
The promise: the alphabet is GSM-7 when every character has a code in it and UCS-2 otherwise, and a
character that takes two units is never cut in half by a part boundary.

The sizes and the alphabet are those of 3GPP TS 23.038 (§6.1.2 packing, §6.2.1 alphabet, §6.2.1.1 extension
table); the concatenation header is that of 3GPP TS 23.040 §9.2.3.24.1. National shift tables are not used:
hardly any provider lets a sender choose one.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_SEGMENTS: Final = 10
"""Parts one message may take. The larger providers refuse longer texts (about 1,600 characters)."""


class Encoding(StrEnum):
    """The alphabet a whole message is sent in."""

    GSM7 = "gsm7"  # 7-bit units (septets)
    UCS2 = "ucs2"  # 16-bit units (UTF-16 code units)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What a text costs: its alphabet, its parts and its length in units of that alphabet."""

    encoding: Encoding
    segments: int
    units: int


@dataclass(frozen=True, slots=True)
class _Alphabet:
    """The sizes of one alphabet, in units, and the characters that take two of them."""

    single: int  # a message of one part: 140 octets
    part: int  # each part of several: 134 octets, the other 6 hold the concatenation header
    double: re.Pattern[str]


# ESC (U+001B) has a code but is no character: it announces an extension character, so as text it needs UCS-2.
_GSM7_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION: Final = "\f^{}\\[~]|€"
_GSM7_TEXT: Final = re.compile(f"[{re.escape(_GSM7_BASIC + _GSM7_EXTENSION)}]*")

_ALPHABETS: Final = {
    Encoding.GSM7: _Alphabet(single=160, part=153, double=re.compile(f"[{re.escape(_GSM7_EXTENSION)}]")),
    Encoding.UCS2: _Alphabet(single=70, part=67, double=re.compile("[\U00010000-\U0010ffff]")),
}

# Stands for any two-unit character once a text is spread out to one element per unit. A lone surrogate is the
# one kind of element that a text which can be sent never holds.
_HEAD: Final = chr(0xD800)
_PAIR: Final = _HEAD + chr(0xDC00)


def segment(body: str) -> Segmentation:
    """The alphabet, parts and units of `body`; an empty text is one part of no units.

    Never raises: MAX_SEGMENTS is for the caller to enforce.
    """
    encoding = Encoding.GSM7 if _GSM7_TEXT.fullmatch(body) else Encoding.UCS2
    alphabet = _ALPHABETS[encoding]
    spread = alphabet.double.sub(_PAIR, body)
    units = len(spread)
    if units <= alphabet.single:
        return Segmentation(encoding, 1, units)
    if units == len(body):
        return Segmentation(encoding, -(-units // alphabet.part), units)
    return Segmentation(encoding, _parts(spread, alphabet.part), units)


def _parts(spread: str, size: int) -> int:
    """The parts of `size` units that `spread` fills; a pair at a boundary moves whole into the next part."""
    parts, start = 1, 0
    while start + size < len(spread):
        start += size
        if spread[start - 1] == _HEAD:
            start -= 1
        parts += 1
    return parts
