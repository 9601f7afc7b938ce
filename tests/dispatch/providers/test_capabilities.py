"""What a provider can do, as data: kinds of senders, forms of numbers, and the range of a validity."""

import pytest

from dispatch.providers.base import Capabilities, NumberFormat, SenderKind
from dispatch.senders import check_sender


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("+447700900123", SenderKind.NUMBER),
        ("12345", SenderKind.SHORT_CODE),
        ("Acme", SenderKind.NAME),
        ("3UK", SenderKind.NAME),
    ],
)
def test_a_checked_sender_is_of_one_kind(sender: str, kind: SenderKind) -> None:
    assert SenderKind.of(check_sender(sender, "sms")) is kind


def test_no_sender_is_a_kind_too() -> None:
    assert SenderKind.of("") is SenderKind.NONE


def test_only_a_number_loses_its_plus() -> None:
    written = {form: [form.write(sender) for sender in ("+447700900123", "12345", "A+B")] for form in NumberFormat}

    assert written == {
        NumberFormat.E164: ["+447700900123", "12345", "A+B"],
        NumberFormat.DIGITS: ["447700900123", "12345", "A+B"],
    }


@pytest.mark.parametrize(("wanted", "told"), [(None, None), (0.5, 20), (20.9, 20), (90.25, 90), (601.0, 600)])
def test_a_validity_is_whole_seconds_within_the_range(wanted: float | None, told: int | None) -> None:
    assert Capabilities(channels=frozenset({"sms"}), validity=(20, 600)).validity_of(wanted) == told


def test_a_provider_that_cant_be_told_is_not() -> None:
    assert Capabilities(channels=frozenset({"sms"})).validity_of(600.0) is None
