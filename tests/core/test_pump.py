"""The loop: at once while there is work, slower and slower while there is trouble, and an orderly end."""

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from subprocess import PIPE, Popen
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import connection
from prometheus_client import REGISTRY

import sendmsg.pump
from sendmsg.pump import LONGEST_GATHER, Pump, Stop

pytestmark = pytest.mark.django_db
AGES = 60.0  # seconds; what waits so long has hung


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`run` sets handlers for the whole process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Scripted(Pump):
    """Does what the script says, a step each: a number of items, or an error; then stops."""

    name = "scripted"

    def __init__(self, *script: int | Exception, poll: float = AGES) -> None:
        super().__init__()
        self.script = list(script)
        self.poll = poll
        self.closed = 0

    def step(self) -> int:
        if len(self.script) == 1:
            self.stopping.set()
        act = self.script.pop(0)
        if isinstance(act, Exception):
            raise act
        return act

    def close(self) -> None:
        self.closed += 1


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"sendmsg_pump_{name}_total", {"pump": "scripted"}) or 0.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[list[float]]:
    """The pauses that were logged, a thousand times shorter than in earnest."""
    monkeypatch.setattr(sendmsg.pump, "FIRST_PAUSE", 0.0001)
    monkeypatch.setattr(sendmsg.pump, "LONGEST_PAUSE", 0.005)
    found: list[float] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR and isinstance(record.msg, dict):
                found.append(round(record.msg["pause"] * 1000, 3))

    handler = Keep()
    logging.getLogger("sendmsg.pump").addHandler(handler)
    yield found
    logging.getLogger("sendmsg.pump").removeHandler(handler)


def test_while_there_is_work_it_steps_at_once_and_counts_the_items() -> None:
    before, start = metric("items"), time.monotonic()
    pump = Scripted(3, 2, 1)

    pump.run()

    assert time.monotonic() - start < AGES / 2
    assert metric("items") == before + 6


def test_with_nothing_to_do_it_waits_between_looks() -> None:
    start = time.monotonic()

    Scripted(0, 0, 1, poll=0.1).run()

    assert time.monotonic() - start > 0.19


class Dozing(Scripted):
    """Notes how long it would have waited, and does not wait."""

    def __init__(self, *script: int | Exception, poll: float, drowsy: float) -> None:
        super().__init__(*script, poll=poll)
        self.drowsy = drowsy
        self.naps: list[float] = []

    def wait(self, seconds: float) -> None:
        self.naps.append(seconds)


def test_while_nothing_comes_it_looks_less_and_less_often_to_a_bound() -> None:
    pump = Dozing(0, 0, 0, 0, 0, 1, poll=0.1, drowsy=0.5)

    pump.run()

    assert pump.naps == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_after_work_it_looks_again_as_often_as_before() -> None:
    pump = Dozing(0, 0, 3, 0, 1, poll=0.1, drowsy=0.5)

    pump.run()

    assert pump.naps == [0.1, 0.2, 0.1]


def test_one_that_may_not_doze_never_waits_longer() -> None:
    pump = Dozing(0, 0, 0, 1, poll=0.1, drowsy=0)

    pump.run()

    assert pump.naps == [0.1, 0.1, 0.1]


class Asking(Scripted):
    """Asks the database something at each step."""

    def step(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 AS asked")
        return super().step()


@pytest.mark.django_db(transaction=True)
def test_whether_the_database_lives_is_asked_now_and_then_and_not_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock(wraps=connection.is_usable)
    monkeypatch.setattr(connection, "is_usable", asked)
    connection.ensure_connection()

    Asking(1, 1, 1, 1).run()

    assert asked.call_count == 1


class Losing(Asking):
    """Loses its connection after the first step."""

    def step(self) -> int:
        done = super().step()
        if len(self.script) == 2:
            connection.connection.close()
        return done


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_costs_one_step(pauses: list[float]) -> None:
    pump = Losing(1, 1, 1)

    pump.run()

    assert (pauses, pump.script) == ([0.1], [])


def test_while_a_dependency_is_away_it_asks_less_and_less_often(pauses: list[float]) -> None:
    Scripted(*[OSError("away")] * 8, 1).run()

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


def test_after_one_good_step_it_is_as_quick_as_before(pauses: list[float]) -> None:
    Scripted(OSError("away"), OSError("away"), 1, OSError("away"), 1).run()

    assert pauses == [0.1, 0.2, 0.1]


def test_an_idle_step_is_a_good_step(pauses: list[float]) -> None:
    Scripted(OSError("away"), OSError("away"), 0, OSError("away"), 1, poll=0.0).run()

    assert pauses == [0.1, 0.2, 0.1]


def test_a_pump_that_gathers_begins_no_step_too_soon_unless_the_last_was_full() -> None:
    class Gathering(Scripted):
        gather, full = 0.1, 5

    start = time.monotonic()
    Gathering(1, 4, 1).run()
    few = time.monotonic() - start
    start = time.monotonic()
    Gathering(*[5] * 100, 1).run()
    many = time.monotonic() - start

    assert few > 0.19
    assert many < 5


@pytest.mark.parametrize(("work", "share", "apart"), [(0.02, 0.2, 0.1), (0.05, 0.5, 0.1), (0.05, 0.01, LONGEST_GATHER)])
def test_small_steps_of_a_pump_that_gathers_have_their_share_of_the_time(
    work: float, share: float, apart: float
) -> None:
    began: list[float] = []

    class Slow(Scripted):
        gather, full = 0.001, 5

        def step(self) -> int:
            began.append(time.monotonic())
            time.sleep(work)
            return super().step()

    pump = Slow(1, 1, 1)
    pump.share = share
    pump.run()

    assert began[2] - began[0] > 2 * apart - 0.01  # a step begins a moment before it says so


def test_a_step_that_found_enough_is_followed_soon() -> None:
    class Slow(Scripted):
        gather, full, share, worth = 0.001, 500, 0.001, 50

        def step(self) -> int:
            time.sleep(0.01)
            return super().step()

    start = time.monotonic()
    Slow(*[50] * 20, 50).run()
    enough = time.monotonic() - start
    start = time.monotonic()
    Slow(*[49] * 20, 49).run()
    little = time.monotonic() - start

    assert enough < little / 2


@pytest.mark.usefixtures("pauses")
def test_failed_steps_are_counted() -> None:
    before = metric("failures"), metric("items")

    Scripted(OSError("away"), 1, OSError("away"), 1).run()

    assert (metric("failures"), metric("items")) == (before[0] + 2, before[1] + 2)


@pytest.mark.usefixtures("pauses")
def test_a_failed_step_is_one_line_and_its_first_has_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = OSError("duplicate   key\nDETAIL: Failing row contains (private words).")

    Scripted(error, error, 1).run()

    lines = [line for line in caplog.text.splitlines() if " error " in line]
    assert [line.partition(" error ")[2].rpartition(" pause=")[0] for line in lines] == [
        'sendmsg.pump pump step failed name=scripted error="OSError: duplicate key"'
    ] * 2
    assert caplog.text.count("Traceback") == 1
    assert caplog.text.index("Traceback") < caplog.text.index(lines[1])


class Deaf(Scripted):
    """Fails when it has nothing to do."""

    def wait(self, seconds: float) -> None:
        raise OSError("away")


def test_a_wait_that_fails_is_survived_too(pauses: list[float]) -> None:
    Deaf(0, 1).run()

    assert pauses == [0.1]


def test_it_lets_go_once_after_the_last_step() -> None:
    pump = Scripted(1, 1)

    pump.run()

    assert pump.closed == 1


def test_a_pump_without_a_step_is_no_pump() -> None:
    with pytest.raises(NotImplementedError):
        Pump().step()


class Endless(Pump):
    """Idle, without a pause between looks, until a signal comes."""

    name = "endless"
    poll = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()

    def step(self) -> int:
        self.started.set()
        return 0


@pytest.mark.timeout(20)
def test_a_signal_is_heard_at_whatever_moment_it_comes() -> None:
    for _ in range(100):
        pump = Endless()

        def shoot(pump: Endless = pump) -> None:
            pump.started.wait()
            for _ in range(random.randrange(2000)):
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=shoot)
        thread.start()
        pump.run()
        thread.join()


def test_who_waits_for_the_stop_is_woken_by_it() -> None:
    stop = Stop()
    threading.Timer(0.01, stop.set).start()
    start = time.monotonic()

    stop.wait(AGES)

    assert stop.is_set()
    stop.wait(AGES)
    assert time.monotonic() - start < AGES / 2


SUBPROCESS = """
import sys
import sendmsg.telemetry.logging
from sendmsg.pump import Pump

class Talking(Pump):
    name, poll = "talking", 60.0
    def step(self):
        print("step", flush=True)
        word = sys.stdin.readline().strip()
        print("done", word, flush=True)
        return int(word)
    def close(self):
        print("closed", flush=True)

Talking().run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_at_hand_finish(number: signal.Signals) -> None:
    with Popen(
        [sys.executable, "-c", SUBPROCESS], cwd=settings.BASE_DIR, stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "step\n"

        process.send_signal(number)
        output, _ = process.communicate("7\n", timeout=20)

    assert (output, process.returncode) == ("done 7\nclosed\n", 0)


def test_a_signal_ends_the_wait_of_an_idle_pump() -> None:
    with Popen(
        [sys.executable, "-c", SUBPROCESS], cwd=settings.BASE_DIR, stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("0\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["step\n", "done 0\n"]

        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)

    assert (output, process.returncode) == ("closed\n", 0)
