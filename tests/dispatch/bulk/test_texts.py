"""Placeholders: plain substitution, once."""

import pytest

from dispatch.bulk.texts import InvalidText, Text, ValueMissing
from dispatch.validation import InvalidBody


def test_a_text_without_placeholders_is_the_same_for_all() -> None:
    text = Text("hello", "sms")

    assert text.render({}) == ("hello", 1, "gsm7")
    assert text.render({"name": "Ada"})[0] is text.render({})[0]


def test_each_placeholder_is_replaced_wherever_it_stands() -> None:
    text = Text("{{name}}, {{ name }}: {{code_2}}", "sms")

    assert text.names == ("name", "code_2")
    assert text.render({"name": "Ada", "code_2": "42", "more": "x"})[0] == "Ada, Ada: 42"


@pytest.mark.parametrize("value", ["{{code}}", r"\1 \g<0>", "{{name}}", "{}%s"])
def test_a_value_is_text_whatever_it_looks_like(value: str) -> None:
    assert Text("{{name}}!", "sms").render({"name": value, "code": "no"})[0] == f"{value}!"


def test_segments_are_those_of_the_text_that_is_sent() -> None:
    text = Text("{{name}}", "sms")

    assert text.render({"name": "a" * 161})[1:] == (2, "gsm7")
    assert text.render({"name": "я"})[1:] == (1, "ucs2")
    assert Text("{{name}}", "whatsapp").render({"name": "a" * 161})[1:] == (1, "utf8")


@pytest.mark.parametrize(("value", "code"), [("", "blank"), ("x" * 4097, "max_length"), ("x" * 1531, "body_too_long")])
def test_what_no_message_may_say_no_recipient_is_told(value: str, code: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        Text("{{name}}", "sms").render({"name": value})

    assert caught.value.code == code


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ValueMissing) as caught:
        Text("{{first}} {{last}}", "sms").render({"first": "Ada"})

    assert caught.value.name == "last"


@pytest.mark.parametrize("body", ["{{first name}}", "{{}}", "{{1}}", "hello {{name}", "{{{name}}}{{", "{{näme}}"])
def test_braces_that_are_no_placeholder_are_refused(body: str) -> None:
    with pytest.raises(InvalidText):
        Text(body, "sms")


def test_single_braces_are_text() -> None:
    assert Text("{name} }} {", "sms").render({})[0] == "{name} }} {"
