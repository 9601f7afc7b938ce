"""Segmentation, against smsutil as an independent oracle and against examples worked out by hand.

smsutil walks character by character and agrees with the network on part boundaries. It differs from
dispatch.segments in three places, kept out of the property and tested by name:

* the empty text is UCS-2 to smsutil (its GSM-7 pattern wants one character at least) and GSM-7 here;
* ESC (U+001B) is a GSM-7 character to smsutil and UCS-2 here: it only announces an extension character;
* smsutil counts bytes in UCS-2, which is twice the units.
"""

import smsutil
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatch.segments import MAX_SEGMENTS, Encoding, Segmentation, segment

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
EMOJI = "\N{GRINNING FACE}"

GSM7_SINGLE_UNIT = "aZ0 @£Çàñ¤§Δ\n\r"
GSM7_DOUBLE_UNIT = "\f^{}\\[~]|€"
UCS2_SINGLE_UNIT = f"ç`“й漢\0\t\ufeff\uffff{NO_BREAK_SPACE}"
UCS2_DOUBLE_UNIT = f"{EMOJI}\U00010000\U0010ffff"

# Lengths around every boundary: a full part, a full message, and half of each for two-unit characters.
BOUNDARIES = (33, 34, 35, 66, 67, 70, 76, 77, 80, 134, 152, 153, 159, 160, 201, 306)
run_lengths = st.one_of(
    st.integers(0, 3),
    st.sampled_from(BOUNDARIES).flatmap(lambda length: st.integers(length - 1, length + 1)),
)


def texts(alphabet: str) -> st.SearchStrategy[str]:
    """Runs of one character each: they reach the boundaries that evenly drawn text hardly ever does."""
    run = st.builds(str.__mul__, st.sampled_from(alphabet), run_lengths)
    return st.lists(run, min_size=1, max_size=8).map("".join).filter(bool)


anything = st.one_of(
    texts(GSM7_SINGLE_UNIT + GSM7_DOUBLE_UNIT),
    texts(UCS2_SINGLE_UNIT + UCS2_DOUBLE_UNIT),
    texts(GSM7_SINGLE_UNIT + GSM7_DOUBLE_UNIT + UCS2_SINGLE_UNIT + UCS2_DOUBLE_UNIT),
    st.text(min_size=1).filter(lambda text: "\x1b" not in text),
)


def smsutil_says(body: str) -> Segmentation:
    result = smsutil.split(body)
    if result.encoding == "gsm0338":
        return Segmentation(Encoding.GSM7, len(result.parts), result.total_bytes)
    return Segmentation(Encoding.UCS2, len(result.parts), result.total_bytes // 2)


@settings(max_examples=500, deadline=None)
@given(anything)
@example("a" * 152 + "]" + "a" * 153)
@example("ç" * 66 + EMOJI + "ç" * 66)
def test_it_agrees_with_smsutil(body: str) -> None:
    assert segment(body) == smsutil_says(body)


def test_every_single_character_agrees_with_smsutil() -> None:
    basic_plane = set(map(chr, range(0x10000))) - {"\x1b"} - set(map(chr, range(0xD800, 0xE000)))

    differing = [character for character in basic_plane if segment(character) != smsutil_says(character)]

    assert differing == []


def test_the_gsm7_alphabet_has_127_basic_and_10_extension_characters() -> None:
    costs = [segment(chr(code)) for code in range(0x10000)]

    assert costs.count(Segmentation(Encoding.GSM7, 1, 1)) == 127
    assert costs.count(Segmentation(Encoding.GSM7, 1, 2)) == 10


def test_an_empty_text_is_one_part_of_no_units() -> None:
    assert segment("") == Segmentation(Encoding.GSM7, 1, 0)


def test_an_escape_character_needs_ucs2() -> None:
    assert segment("a\x1b") == Segmentation(Encoding.UCS2, 1, 2)


def test_160_septets_fit_one_part() -> None:
    assert segment("a" * 160) == Segmentation(Encoding.GSM7, 1, 160)


def test_161_septets_need_two_parts() -> None:
    assert segment("a" * 161) == Segmentation(Encoding.GSM7, 2, 161)


def test_parts_of_several_hold_153_septets() -> None:
    assert segment("a" * 306) == Segmentation(Encoding.GSM7, 2, 306)
    assert segment("a" * 307) == Segmentation(Encoding.GSM7, 3, 307)


def test_80_extension_characters_fit_one_part() -> None:
    assert segment("€" * 80) == Segmentation(Encoding.GSM7, 1, 160)


def test_an_extension_character_does_not_straddle_parts() -> None:
    assert segment("]" * 153) == Segmentation(Encoding.GSM7, 3, 306)


def test_70_units_fit_one_ucs2_part() -> None:
    assert segment("й" * 70) == Segmentation(Encoding.UCS2, 1, 70)
    assert segment("й" * 71) == Segmentation(Encoding.UCS2, 2, 71)


def test_parts_of_several_hold_67_ucs2_units() -> None:
    assert segment("й" * 134) == Segmentation(Encoding.UCS2, 2, 134)
    assert segment("й" * 135) == Segmentation(Encoding.UCS2, 3, 135)


def test_a_surrogate_pair_does_not_straddle_parts() -> None:
    assert segment(EMOJI * 35) == Segmentation(Encoding.UCS2, 1, 70)
    assert segment(EMOJI * 67) == Segmentation(Encoding.UCS2, 3, 134)


def test_pairs_that_fill_their_parts_exactly_need_no_more() -> None:
    assert segment(("a" + "]" * 76) * 2) == Segmentation(Encoding.GSM7, 2, 306)
    assert segment(("й" + EMOJI * 33) * 2) == Segmentation(Encoding.UCS2, 2, 134)


def test_an_extension_character_counts_once_in_ucs2() -> None:
    assert segment("€й") == Segmentation(Encoding.UCS2, 1, 2)


def test_one_no_break_space_makes_the_whole_text_ucs2() -> None:
    assert segment("a" * 80 + NO_BREAK_SPACE) == Segmentation(Encoding.UCS2, 2, 81)


def test_a_capital_c_cedilla_is_gsm7_and_a_small_one_is_not() -> None:
    assert segment("Ç").encoding == Encoding.GSM7
    assert segment("ç").encoding == Encoding.UCS2


def test_a_backtick_and_curly_quotes_are_not_gsm7() -> None:
    assert [segment(character).encoding for character in "`“”"] == [Encoding.UCS2] * 3


def test_a_lone_surrogate_is_counted_and_not_an_error() -> None:
    assert segment("\ud83d") == Segmentation(Encoding.UCS2, 1, 1)


def test_the_most_parts_hold_1530_septets() -> None:
    assert segment("a" * 1530).segments == MAX_SEGMENTS
    assert segment("a" * 1531).segments == MAX_SEGMENTS + 1
