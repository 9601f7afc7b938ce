"""Senders: names, short codes and numbers, and which channel takes which."""

import pytest

from dispatch.senders import InvalidSender, check_sender


def refusal(text: str, channel: str = "sms") -> str:
    """The code `text` is refused with."""
    with pytest.raises(InvalidSender) as caught:
        check_sender(text, channel)
    return caught.value.code


@pytest.mark.parametrize("text", ["Acme", "AC", "3M", "Acme-UK_1", "A&B Ltd.", "ABCDEFGHIJK", "1234567890a"])
def test_a_name_is_a_sender(text: str) -> None:
    assert check_sender(text, "sms") == text


@pytest.mark.parametrize("text", ["123", "82946", "12345678"])
def test_a_short_code_is_a_sender(text: str) -> None:
    assert check_sender(text, "sms") == text


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_a_number_is_a_sender_in_e164(channel: str) -> None:
    assert check_sender("+44 (0)7700 900-123", channel) == "+447700900123"


def test_outer_spaces_are_dropped() -> None:
    assert check_sender(" Acme ", "sms") == "Acme"
    assert check_sender(" +447700900123 ", "whatsapp") == "+447700900123"


@pytest.mark.parametrize("text", ["Acme", "82946", "447700900123", ""])
def test_whatsapp_sends_from_numbers_only(text: str) -> None:
    assert refusal(text, "whatsapp") == "sender_not_number"


@pytest.mark.parametrize("text", ["12", "123456789", "447700900123"])
def test_digits_that_are_no_short_code_want_a_plus(text: str) -> None:
    assert refusal(text) == "sender_missing_plus"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        " A ",
        "ABCDEFGHIJKL",
        "-_&.",
        "12 34",
        "1-2",
        "Acme!",
        "Caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "\N{CYRILLIC CAPITAL LETTER A}cme",
        "\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}\N{ARABIC-INDIC DIGIT THREE}",
        "Ac\N{NO-BREAK SPACE}me",
        "Ac\0me",
        "Ac\tme",
        "Ac\rme",
        "Ac\nme",
        "Acme\n",
        "\nAcme",
        "Acme\r\n",
        "82946\n",
        "+447700900123\r\n",
        "+1800FLOWERS",
        "+44770",
        "+",
        "A" * 100_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert refusal(text) == "sender_invalid"


def test_a_refused_number_says_what_is_wrong_with_it() -> None:
    with pytest.raises(InvalidSender, match="too short or too long") as caught:
        check_sender("+44770", "sms")

    assert isinstance(caught.value, ValueError)
    assert caught.value.detail == str(caught.value)
