"""Numbers: which spellings are one number, which texts are none, and what a mask shows."""

import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch import numbers
from dispatch.numbers import InvalidNumber, mask, mask_within, normalise


def refusal(text: str) -> str:
    """The code `text` is refused with."""
    with pytest.raises(InvalidNumber) as caught:
        normalise(text)
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "+447700900123",
        "+44 7700 900123",
        " +44-7700-900-123 ",
        "+44.7700.900.123",
        "+44 (7700) 900123",
        "(+44) 7700 900123",
        "+44 (0)7700 900123",
    ],
)
def test_spellings_of_one_number_become_one(text: str) -> None:
    assert normalise(text) == "+447700900123"


def test_an_italian_leading_zero_is_kept() -> None:
    assert normalise("+39 06 1234 5678") == "+390612345678"


def test_a_possible_number_need_not_be_valid() -> None:
    assert normalise("+447700900100") == "+447700900100"  # Ofcom's range for fiction


@pytest.mark.parametrize("text", ["4155551212", "00447700900123", "07700 900123", " 447700900123"])
def test_digits_without_a_plus_are_refused(text: str) -> None:
    assert refusal(text) == "number_missing_plus"


@pytest.mark.parametrize(
    "text",
    [
        "+4477009001234",
        "+44770",
        "+1 415 555 26711",
        "+49123456789012345",  # 17 digits: possible to phonenumbers, more than E.164 allows
    ],
)
def test_a_length_its_country_does_not_have_is_refused(text: str) -> None:
    assert refusal(text) == "number_not_possible"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+1",
        "Acme",
        "+1800FLOWERS",
        "+44 7700 900123 ext. 5",
        "+447700900123x5",
        "+447700900123;ext=5",
        "+447700900123,5",
        "tel:+447700900123",
        "++447700900123",
        "+44+7700900123",
        "+999123456",
        "+0447700900123",
        "\N{FULLWIDTH PLUS SIGN}447700900123",
        "+44\N{ARABIC-INDIC DIGIT SEVEN}700900123",
        "+\N{FULLWIDTH DIGIT FOUR}47700900123",
        "+44\N{NO-BREAK SPACE}7700900123",
        "+447700900123\n",
        "+447700900123\r\nBcc: +447700900124",
        "+447700\0900123",
        "+44\t7700900123",
        "+447700900123\N{ZERO WIDTH SPACE}",
        "\ud800",
    ],
)
def test_what_is_not_a_number_is_refused(text: str) -> None:
    assert refusal(text) == "number_invalid"


def test_a_second_national_prefix_is_refused() -> None:
    assert refusal("+359009869004") == "number_invalid"


def test_a_long_text_is_refused_before_it_is_parsed() -> None:
    assert normalise("+447700900123" + " " * 19) == "+447700900123"
    assert refusal("+447700900123" + " " * 20) == "number_invalid"


def test_a_refusal_says_what_is_wrong_and_not_the_number() -> None:
    with pytest.raises(InvalidNumber, match="too short or too long") as caught:
        normalise("+4477009001234")

    assert isinstance(caught.value, ValueError)
    assert caught.value.detail == str(caught.value)
    assert "77009001234" not in caught.value.detail


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.from_regex(r"\+[1-9][0-9 ().-]{4,18}", fullmatch=True),
        st.from_regex(r"\+(44|1|49|54|52|39|359|7|225)0{0,3}[1-9][0-9]{6,10}", fullmatch=True),
        st.text(max_size=40),
    )
)
def test_an_answer_is_e164_and_normalises_to_itself(text: str) -> None:
    try:
        number = normalise(text)
    except InvalidNumber:
        return

    assert re.fullmatch(r"\+[1-9][0-9]{1,14}", number)
    assert normalise(number) == number


ARGENTINA = 54  # the 9 of its mobiles looks like a national prefix, so they are parsed
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(CODES), st.from_regex(r"(0|1|8|9|00|15)?[0-9]{1,14}", fullmatch=True))
def test_what_is_taken_as_it_is_would_be_the_same_when_parsed(code: int, national: str) -> None:
    number = f"+{code}{national}"

    if numbers._is_plain(number):
        assert numbers._parse(number) == number


@pytest.mark.parametrize("code", CODES)
def test_in_every_country_an_example_is_taken_as_it_is(code: int) -> None:
    region = phonenumbers.region_code_for_country_code(code)
    example = (
        phonenumbers.example_number_for_non_geo_entity(code)
        if region == "001"
        else phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        or phonenumbers.example_number(region)
    )
    assert example is not None
    number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)

    assert numbers._is_plain(number) is (code != ARGENTINA)
    assert normalise(number) == number


def test_a_mask_keeps_the_ends() -> None:
    assert mask("+447700900123") == "+4477****123"


def test_a_mask_of_a_short_number_shows_less() -> None:
    assert mask("+4712345678") == "+47****78"
    assert mask("+2904567") == "****"
    assert mask("82946") == "****"
    assert mask("") == "****"


@given(st.from_regex(r"\+[0-9]{1,15}", fullmatch=True))
def test_a_mask_hides_four_characters_at_least(number: str) -> None:
    shown = mask(number).replace("*", "")

    assert len(number) - len(shown) >= min(4, len(number))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no such number +447700900123.", "no such number +4477****123."),
        ("From=%2B447700900123&To=12345", "From=%2B44770****123&To=12345"),
        ('{"to": "447700900123"}', '{"to": "44770****123"}'),
        ("01a20f63-4477-7900-887c-447700900123", "01a20f63-4477-7900-887c-447700900123"),
        ("snd_447700900123", "snd_447700900123"),
    ],
)
def test_numbers_that_stand_in_a_text_are_masked_and_ids_are_not(text: str, masked: str) -> None:
    assert mask_within(text) == masked
