"""What a caller sends is taken as W3C has it, and what we write is what W3C has."""

import pytest

from sendmsg.telemetry.traceparent import Place

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_valid_one_is_read_and_written_the_same() -> None:
    for flags, sampled in (("00", False), ("01", True)):
        place = Place.read(f"00-{TRACE}-{SPAN}-{flags}")

        assert place == Place(TRACE, SPAN, sampled)
        assert place.header == f"00-{TRACE}-{SPAN}-{flags}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[1:]}٣-{SPAN}-01",
    ],
)
def test_an_invalid_one_is_none(header: str) -> None:
    assert Place.read(header) is None


def test_of_a_later_version_what_all_have_is_read() -> None:
    assert Place.read(f"01-{TRACE}-{SPAN}-09-what.the-future-brings") == Place(TRACE, SPAN, True)


def test_the_row_knows_what_was_asked_for_and_nobody_else_does() -> None:
    place = Place(TRACE, SPAN, sampled=True, asked=True)

    assert Place.stored(place.column) == place
    assert len(place.column) == 55
    assert place.header == f"00-{TRACE}-{SPAN}-01"
    assert Place.read(f"00-{TRACE}-{SPAN}-81") == Place(TRACE, SPAN, sampled=True, asked=False)


def test_the_row_says_nothing_of_what_nobody_asks_for() -> None:
    assert Place(TRACE, SPAN, sampled=False).column == ""
    assert Place.stored("") is None


def test_a_named_span_has_the_same_id_wherever_it_is_asked_for() -> None:
    message = Place(TRACE, SPAN, sampled=True)

    assert message.child("send", 1) == message.child("send", 1)
    others = [message.child(), message.child(), message.child("send", 2), Place(TRACE, "1" * 16, True).child("send", 1)]
    assert len({one.span_id for one in [message.child("send", 1), *others]}) == 5
    assert {one.trace_id for one in others} == {TRACE}
