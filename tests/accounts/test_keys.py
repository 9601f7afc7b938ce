"""API keys as text."""

import string

from hypothesis import given
from hypothesis import strategies as st

from sendmsg.accounts.keys import Mode, mint, parse

MODES = st.sampled_from(Mode)


@given(MODES)
def test_a_minted_key_has_the_documented_form(mode: Mode) -> None:
    key = mint(mode)

    assert key.text.startswith(f"smk_{mode.value}_")
    assert len(key.text) == len("smk_live_") + 30 + 6
    assert set(key.text[9:]) <= set(string.ascii_letters + string.digits)
    assert parse(key.text) == key


def test_no_two_keys_are_alike() -> None:
    assert len({mint(Mode.LIVE).text for _ in range(1000)}) == 1000


@given(MODES, st.data())
def test_any_change_of_one_character_is_noticed(mode: Mode, data: st.DataObject) -> None:
    text = mint(mode).text
    position = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.characters().filter(lambda character: character != text[position]))

    assert parse(text[:position] + replacement + text[position + 1 :]) is None


@given(MODES, st.data())
def test_a_swap_of_two_neighbours_is_noticed(mode: Mode, data: st.DataObject) -> None:
    text = mint(mode).text
    position = data.draw(st.integers(0, len(text) - 2).filter(lambda i: text[i] != text[i + 1]))

    assert parse(text[:position] + text[position + 1] + text[position] + text[position + 2 :]) is None


@given(MODES, st.integers(0, 44))
def test_a_truncated_key_is_noticed(mode: Mode, length: int) -> None:
    assert parse(mint(mode).text[:length]) is None


@given(MODES, st.text(min_size=1, max_size=2))
def test_anything_after_a_key_is_noticed(mode: Mode, tail: str) -> None:
    assert parse(mint(mode).text + tail) is None


def test_a_live_key_does_not_pass_for_a_test_key() -> None:
    assert parse(mint(Mode.LIVE).text.replace("live", "test")) is None


@given(st.text())
def test_any_other_text_is_no_key(text: str) -> None:
    assert parse(text) is None


def test_the_repr_of_a_key_hides_its_text() -> None:
    key = mint(Mode.LIVE)

    assert key.text not in repr(key)


def test_what_may_be_shown_is_the_beginning_and_the_end() -> None:
    key = mint(Mode.TEST)

    assert key.prefix == key.text[:13]
    assert key.last4 == key.text[-4:]
    assert len(key.digest) == 64
