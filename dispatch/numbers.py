"""Telephone numbers: the one spelling SendMSG stores, and the one it shows.

Every number is kept in E.164 (`+447700900123`), so that two spellings of a number are one recipient wherever
recipients are compared. A number must be *possible* (its length fits its country) but need not be *valid*
(in a range known to be allocated): newly opened ranges, and the ranges reserved for fiction and tests, are
possible and not valid.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import phonenumbers

MAX_TEXT_LENGTH: Final = 32
"""Characters accepted before parsing: 15 digits with a separator after each, and a little more."""

MAX_DIGITS: Final = 15
"""Digits of an number with its country code (ITU-T E.164 §6); phonenumbers knows longer ones."""

# Digits inside of an id are no number; behind the plus of an encoded form they are.
_WITHIN: Final = re.compile(r"(?:(?<![\w-])|(?<=%2B)|(?<=%2b))\+?[0-9]{9,15}(?![\w-])")
_SEPARATORS: Final = str.maketrans("", "", " -().")
# Only ASCII digits: `\d` and phonenumbers also take the digits of every other script.
_DIGITS: Final = re.compile(r"[0-9]+")


class InvalidNumber(ValueError):
    """A text that is no number to send to. `code` is stable; `detail` is for people and repeats no input.

    Codes: `number_missing_plus` (digits without the leading +), `number_invalid` (not a number, or of no
    country), `number_not_possible` (too short or too long for its country).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def normalise(text: str) -> str:
    """`text` in E.164, without its spaces, dashes, dots and parentheses.

    Normalising the answer gives it again. Raises InvalidNumber. Letters and extensions are refused:
    phonenumbers would dial the first as on a keypad and forget the second.
    """
    compact = _compact(text)
    if _is_plain(compact):
        return compact
    number = _parse(compact)
    # A second national prefix ("+359 00 …") survives one parse and not the next: two numbers for one phone.
    if number != compact and _parse(number) != number:
        raise InvalidNumber("number_invalid", "The number has more than one national prefix.")
    return number


def mask(number: str) -> str:
    """An E.164 number for logs and screens: `+4477****123`. At least four characters are always hidden."""
    if len(number) >= 12:
        return f"{number[:5]}****{number[-3:]}"
    if len(number) >= 9:
        return f"{number[:3]}****{number[-2:]}"
    return "****"


def mask_within(text: str) -> str:
    """`text` with every number that stands in it masked."""
    return _WITHIN.sub(lambda found: mask(found[0]), text)


def _compact(text: str) -> str:
    """`+` and ASCII digits, whatever the separators were."""
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidNumber("number_invalid", f"A number has at most {MAX_TEXT_LENGTH} characters.")
    compact = text.translate(_SEPARATORS)
    if not _DIGITS.fullmatch(compact.removeprefix("+")):
        raise InvalidNumber("number_invalid", "A number is a + and digits, such as +447700900123.")
    if not compact.startswith("+"):
        raise InvalidNumber("number_missing_plus", "A number starts with + and its country code.")
    return compact


@dataclass(frozen=True, slots=True)
class _Plan:
    """Of a country code: the national prefixes that parsing takes off, and how many digits may follow the code."""

    prefixes: re.Pattern[str] | None
    lengths: frozenset[int]


@cache
def _plan(code: str) -> _Plan | None:
    """None for what is no country code."""
    if code.startswith("0") or int(code) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    found = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if found is None or found.general_desc is None:
        return None
    prefixes = re.compile(found.national_prefix_for_parsing) if found.national_prefix_for_parsing else None
    return _Plan(prefixes, frozenset(found.general_desc.possible_length))


def _is_plain(compact: str) -> bool:
    """Whether parsing would give the same number again, as it does nearly always: found out ten times as quickly.

    By what phonenumbers itself looks at: a length that its country has, and no national prefix.
    """
    for end in range(2, 5):  # a country code has one to three digits, and none is the beginning of another
        if len(compact) > end and (plan := _plan(compact[1:end])) is not None:
            national = compact[end:]
            return (
                len(national) in plan.lengths
                and len(compact) <= MAX_DIGITS + 1
                and not (plan.prefixes and plan.prefixes.match(national))
            )
    return False


def _parse(compact: str) -> str:
    """The E.164 form of a compact number: loses a national prefix ("+44 (0)7700 …")."""
    try:
        parsed = phonenumbers.parse(compact)
    except phonenumbers.NumberParseException as error:
        raise InvalidNumber("number_invalid", "No known country code, or no digits after it.") from error
    number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if not phonenumbers.is_possible_number(parsed) or len(number) > MAX_DIGITS + 1:
        raise InvalidNumber("number_not_possible", "The number is too short or too long for its country.")
    return number
