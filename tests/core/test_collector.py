"""Every process that Django is set up in looks for garbage seldom, and still finds it."""

import gc
import weakref

from sendmsg.collector import MIDDLE, OLD, YOUNG


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def test_this_process_has_it() -> None:
    assert gc.get_threshold() == (YOUNG, MIDDLE, OLD)


def test_what_only_the_collector_can_free_is_freed() -> None:
    gc.collect()
    knots = [weakref.ref(Knot()) for _ in range(10)]

    kept = [[] for _ in range(2 * YOUNG)]  # type: ignore[var-annotated]

    assert [knot() for knot in knots] == [None] * 10
    assert len(kept) == 2 * YOUNG
