import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendmsg.embedded import stopping
from sendmsg.embedded import supervisor as module
from sendmsg.embedded.child import Child, meaning
from sendmsg.embedded.stopping import Stopped, StopRequest
from sendmsg.embedded.supervisor import Supervisor
from sendmsg.errors import StartFailed
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux ends the children of a killed process")

ANNOUNCE = (
    "import os; from pathlib import Path; Path('pids').open('a').write(f'{os.getpid()}\\n'); print('up', flush=True)"
)
FOREVER = f"{ANNOUNCE}\nimport time; time.sleep(600)"
DIES = f"{ANNOUNCE}\nraise SystemExit(3)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FOREVER}"
WITH_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {FOREVER!r}])\n{FOREVER}"
TELLS_ITS_END = f"""
import pathlib, signal, sys
def end(*arguments):
    with pathlib.Path("ends").open("a") as file:
        file.write(sys.argv[1] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
{FOREVER}
"""


def python(name: str, script: str, rank: int = 0) -> Child:
    return Child(name, (sys.executable, "-c", script), says="up", rank=rank)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that ended and was not asked about yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


class Run:
    """A supervisor in `folder`, what it said, and the processes that its children wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.stop_request = StopRequest()
        self.supervisor = Supervisor(folder, folder / "log", dict(os.environ), self.stop_request, self.lines.append)

    def pids(self) -> list[int]:
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def pids_when(self, count: int) -> list[int]:
        """Once so many have been started, with the supervisor at work meanwhile."""
        self.supervisor.wait_for(lambda: len(self.pids()) >= count, 20)
        assert len(self.pids()) == count
        return self.pids()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.supervisor.stop()


def test_a_child_that_dies_is_named_with_its_exit_code_and_started_again(run: Run) -> None:
    run.supervisor.start(python("relay", FOREVER))
    [first] = run.pids_when(1)

    os.kill(first, signal.SIGKILL)
    run.pids_when(2)

    [line] = run.lines
    assert line.startswith("relay died: killed by SIGKILL (exit code -9); starting it again in 0.5 s")
    assert str(run.folder / "log" / "relay.log") in line


def test_each_death_doubles_the_pause(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    run.supervisor.start(python("relay", DIES))

    run.supervisor.wait_for(lambda: len(run.lines) == 3, 20)

    assert [line.partition(",")[0] for line in run.lines] == [
        f"relay died: exit code 3; starting it again in {pause} s" for pause in ("0.1", "0.2", "0.4")
    ]


def test_pauses_are_bounded_and_forgiven_after_a_long_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.15)
    run.supervisor.start(python("relay", DIES))
    run.supervisor.wait_for(lambda: len(run.lines) == 2, 20)
    assert "in 0.15 s" in run.lines[-1]

    monkeypatch.setattr(module, "SETTLED", 0)
    run.supervisor.wait_for(lambda: len(run.lines) == 3, 20)

    assert "in 0.1 s" in run.lines[-1]


def test_what_a_dead_child_left_behind_is_ended_before_it_starts_again(run: Run) -> None:
    run.supervisor.start(python("web", WITH_A_CHILD))
    first = run.pids_when(2)
    parent = min(first)

    os.kill(parent, signal.SIGKILL)
    run.pids_when(4)

    assert not any(is_alive(pid) for pid in first)


def test_stop_leaves_neither_children_nor_theirs(run: Run) -> None:
    run.supervisor.start(python("web", WITH_A_CHILD))
    run.supervisor.start(python("relay", FOREVER))
    pids = run.pids_when(3)

    run.supervisor.stop()

    eventually(lambda: not any(is_alive(pid) for pid in pids), "all are gone")


def test_stop_kills_who_does_not_listen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(module, "LEAST_PATIENCE", 0)
    run.supervisor.start(python("worker", STUBBORN))
    [pid] = run.pids_when(1)

    run.supervisor.stop()

    assert not is_alive(pid)
    assert run.lines == ["worker did not end in time and is killed"]


def test_a_second_request_to_stop_ends_patience(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60)
    run.supervisor.start(python("worker", STUBBORN))
    [pid] = run.pids_when(1)
    run.stop_request.ask()
    monkeypatch.setattr(stopping, "ECHO", 0)
    run.stop_request.ask()

    run.supervisor.stop()

    assert not is_alive(pid)


def test_signals_that_come_together_are_one_request() -> None:
    request = StopRequest()

    request.ask()
    request.ask()

    assert not request.urgent


def test_children_of_a_higher_rank_outlive_the_others(run: Run) -> None:
    for name, rank in (("logwriter", 1), ("worker", 0)):
        run.supervisor.start(Child(name, (sys.executable, "-c", TELLS_ITS_END, name), rank=rank))
    run.pids_when(2)

    run.supervisor.stop()

    assert (run.folder / "ends").read_text().split() == ["worker", "logwriter"]


@linux
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from tests.embedded.test_supervisor import FOREVER, Run, python
run = Run(Path({str(tmp_path)!r}))
run.supervisor.start(python("relay", FOREVER))
run.supervisor.wait_for(lambda: False)
"""
    killed = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    pids = tmp_path / "pids"
    eventually(pids.exists, "the child runs")
    pid = int(eventually(pids.read_text, "the child is known"))

    killed.kill()
    killed.wait()

    eventually(lambda: not is_alive(pid), "the child is gone")


def test_waiting_until_ready_shows_the_log_of_a_child_that_dies(run: Run) -> None:
    run.supervisor.start(python("web", "raise SystemExit('no such database')"))

    with pytest.raises(StartFailed, match=r"web died: exit code 1\n.*web.log ends with:\n    no such database"):
        run.supervisor.wait_until_ready(20)


def test_waiting_until_ready_is_bounded(run: Run) -> None:
    run.supervisor.start(Child("web", (sys.executable, "-c", FOREVER), says="never"))

    with pytest.raises(StartFailed, match="web did not get ready in time"):
        run.supervisor.wait_until_ready(0.1)


def test_a_request_to_stop_ends_every_wait(run: Run) -> None:
    run.supervisor.start(Child("web", (sys.executable, "-c", FOREVER), says="never"))
    run.stop_request.ask()

    with pytest.raises(Stopped):
        run.supervisor.wait_until_ready(20)
    with pytest.raises(Stopped):
        run.supervisor.wait_for(lambda: False)
    with pytest.raises(Stopped):
        run.supervisor.run(python("prepare", FOREVER))


def test_running_to_the_end_gives_the_output_and_keeps_it_out_of_the_log(run: Run) -> None:
    script = "import sys; print('a secret'); print('a warning', file=sys.stderr)"

    assert run.supervisor.run(python("prepare", script)) == "a secret\n"

    assert (run.folder / "log" / "prepare.log").read_text() == "a warning\n"


def test_running_to_the_end_fails_with_the_log(run: Run) -> None:
    with pytest.raises(StartFailed, match=r"prepare failed: exit code 1\n.*\n    no rights"):
        run.supervisor.run(python("prepare", "raise SystemExit('no rights')"))


def test_the_log_of_the_run_before_is_kept_beside(run: Run) -> None:
    for text in ("first", "second"):
        run.supervisor.run(python("prepare", f"import sys; print({text!r}, file=sys.stderr)"))

    assert (run.folder / "log" / "prepare.log").read_text() == "second\n"
    assert (run.folder / "log" / "prepare.log.1").read_text() == "first\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-15, "killed by SIGTERM (exit code -15)"), (-250, "exit code -250")],
)
def test_exit_codes_are_put_into_words(code: int, words: str) -> None:
    assert meaning(code) == words
