"""What is plain is read as the serializer reads it; whatever the serializer refuses is not plain."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from dispatch import plain
from dispatch.serializers import NewMessage

MESSAGE = {"to": "+447700900900", "body": "hello"}
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ODD = st.one_of(st.none(), st.booleans(), st.integers(-2, 700_000), st.floats(allow_nan=False), TEXTS, st.lists(TEXTS))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "to": st.sampled_from(["+447700900900", "+44 (0)7700 900900", "447700900900", "+1 202-555-0143", "", "+44" * 20]),
    "body": st.one_of(TEXTS, st.sampled_from(["x" * 161, "я" * 671, "x" * 4097, "{" * 700, " "])),
    "channel": st.sampled_from(["sms", "whatsapp", "fax", "SMS"]),
    "priority": st.sampled_from(["high", "normal", "low", "urgent", ""]),
    "from": st.sampled_from(["Acme", " Acme ", "12345", "+447700900001", "AcmeAcmeAcme", "", "447700900001", "x" * 21]),
    "client_reference": st.sampled_from(["order 7", "x" * 100, "x" * 101, ""]),
    "valid_for": st.sampled_from([1, 604_800, 604_801, 0, -1, 1.0, True, "60"]),
    "callback_url": st.sampled_from(["https://client.example/cb", "http://client.example/cb", "https://10.0.0.1/", ""]),
    "metadata": st.dictionaries(st.sampled_from(["", "k", "x" * 40, "x" * 41]), st.one_of(TEXTS, ODD), max_size=3),
    "send_at": st.just("2099-01-01T00:00:00Z"),
    "colour": TEXTS,
}
BODIES = st.fixed_dictionaries(
    {}, optional={name: st.one_of(values, values, values, ODD) for name, values in VALUES.items()}
)


def by_serializer(data: Any) -> dict[str, Any] | None:
    try:
        return dict(NewMessage().run_validation(data))
    except ValidationError:
        return None


@given(BODIES)
def test_what_is_plain_is_what_the_serializer_reads(data: dict[str, Any]) -> None:
    found = plain.read(data)

    assert found is None or found == by_serializer(data)


@given(BODIES.map(lambda data: {**MESSAGE, **{key: data[key] for key in data if key != "send_at"}}))
def test_whatever_the_serializer_takes_is_plain_unless_it_is_scheduled(data: dict[str, Any]) -> None:
    assert plain.read(data) == by_serializer(data)


@pytest.mark.parametrize("data", [None, 7, "text", [], {}, {"to": "+447700900900"}, {"to": "x", "body": "y", 1: 2}])
def test_what_is_no_message_is_not_plain(data: Any) -> None:
    assert plain.read(data) is None


def test_a_scheduled_one_is_left_to_the_serializer() -> None:
    assert plain.read({**MESSAGE, "send_at": "2099-01-01T00:00:00Z"}) is None
