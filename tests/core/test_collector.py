"""Workers and pumps look for garbage seldom, and still find it."""

import gc
import weakref
from collections.abc import Iterator
from unittest import mock

import pytest

from dispatch import worker
from sendmsg import collector
from sendmsg.collector import MIDDLE, OLD, YOUNG
from sendmsg.pump import Pump
from sendmsg.telemetry import port


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


class Idle(Pump):
    name = "idle"

    def step(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_what_only_the_collector_can_free_is_freed() -> None:
    collector.relax()
    assert gc.get_threshold() == (YOUNG, MIDDLE, OLD)
    gc.collect()
    knots = [weakref.ref(Knot()) for _ in range(10)]

    kept: list[list[int]] = [[] for _ in range(2 * YOUNG)]

    assert [knot() for knot in knots] == [None] * 10
    assert len(kept) == 2 * YOUNG


def test_a_pump_looks_seldom() -> None:
    pump = Idle()
    pump.stopping.set()

    with mock.patch("signal.signal"), mock.patch.object(port, "open_port"):
        pump.run()

    assert gc.get_threshold() == (YOUNG, MIDDLE, OLD)


def test_a_worker_looks_seldom() -> None:
    scope = mock.Mock(region="")
    scope.of.return_value = []
    nothing = dict.fromkeys(("app", "directory", "sending"), mock.DEFAULT)

    with (
        mock.patch.multiple(worker, subscribe=mock.Mock(return_value=scope), _scope=None, **nothing),
        mock.patch.object(port, "open_port"),
    ):
        worker.start([], "test", [])

    assert gc.get_threshold() == (YOUNG, MIDDLE, OLD)
