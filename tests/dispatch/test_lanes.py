"""A lane is one number, and the number is the lane."""

from itertools import product

import pytest

from dispatch.lanes import Lane, lane_of
from dispatch.vocabulary import Channel

LANES = [Lane(*parts) for parts in product((0, 1, 7, 10**12), (False, True), Channel.values)]


@pytest.mark.parametrize("lane", LANES)
def test_a_number_is_read_back_held_or_not(lane: Lane) -> None:
    assert lane_of(lane.number) == lane_of(-lane.number) == lane


def test_no_two_lanes_share_a_number_and_none_is_zero() -> None:
    numbers = {lane.number for lane in LANES}
    assert len(numbers) == len(LANES)
    assert min(numbers) > 0
