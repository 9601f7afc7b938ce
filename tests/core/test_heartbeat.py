"""The sign of life: given by real processes, looked for by the command that probes run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendmsg import heartbeat
from tests.faults import FaultServer, answer
from tests.stack.processes import ROOT, Process, database_urls, free_port
from tests.waiting import eventually

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "logs"]),
    pytest.mark.usefixtures("rabbitmq_server"),
]
AWAY = f"amqp://127.0.0.1:{free_port()}//"
HANGING = """
import signal
from sendmsg.pump import Pump

class Hanging(Pump):
    name, poll = "hanging", 0.01
    turns = 0
    def step(self):
        self.turns += 1
        while self.turns > 3:
            signal.pause()
        return 0

Hanging().run()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started = []

    def begin(*command: str, **environment: str) -> Process:
        known = {**database_urls(), "HEARTBEAT_PATH": str(tmp_path / "heartbeat"), **environment}
        process = Process("process", command, known, tmp_path)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.signal(signal.SIGCONT)
        process.kill()


def ask(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The command, as a probe has it: its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "sendmsg.heartbeat", *arguments],
        cwd=ROOT,
        env={**os.environ, "HEARTBEAT_PATH": str(folder / "heartbeat"), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    "command",
    [
        ("relay",),
        ("receipts",),
        ("callbacks",),
        ("reconcile",),
        ("logwriter",),
        ("deadletters",),
        ("worker", "--threads", "1"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("broker", ["there", "away"])
def test_every_process_gives_signs_of_life_whether_or_not_it_can_work(
    command: tuple[str, ...], broker: str, start: Callable[..., Process], tmp_path: Path
) -> None:
    environment = {"BROKER_URL": AWAY} if broker == "away" else {}
    process = start("manage.py", command[0], "--skip-checks", *command[1:], **environment)
    file = tmp_path / "heartbeat"
    for _ in range(2):  # once by starting is not yet a loop
        eventually(file.exists, f"it touches the file\n{process.tail()}", 30)
        assert ask(tmp_path) == (0, "")
        file.unlink()


def test_a_process_that_stands_still_is_found_out_and_forgiven_when_it_moves(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    process = start("manage.py", "relay", "--skip-checks")
    eventually(lambda: ask(tmp_path, "--max-age", "3")[0] == 0, "it moves", 30)

    process.signal(signal.SIGSTOP)
    found = eventually(lambda: ask(tmp_path, "--max-age", "3")[1], "it is found out")
    assert found.endswith("3 s are allowed")

    process.signal(signal.SIGCONT)
    eventually(lambda: ask(tmp_path, "--max-age", "3")[0] == 0, "it moves again")


def test_a_pump_whose_step_hangs_is_found_out(start: Callable[..., Process], tmp_path: Path) -> None:
    process = start("-c", f"import django; django.setup()\n{HANGING}")
    eventually((tmp_path / "heartbeat").exists, f"it has begun\n{process.tail()}", 30)

    eventually(lambda: ask(tmp_path, "--max-age", "1")[0] == 1, "it is found out")
    assert process.alive


def test_a_process_that_never_began_is_found_out(tmp_path: Path) -> None:
    assert ask(tmp_path) == (1, f"{tmp_path}/heartbeat can't be looked at: No such file or directory")


def test_a_probe_without_a_file_says_which_variable_is_missing(tmp_path: Path) -> None:
    code, said = ask(tmp_path, HEARTBEAT_PATH="")

    assert (code, said) == (1, "HEARTBEAT_PATH is not set: name the file that the process touches")


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_file", str(tmp_path / "nowhere" / "heartbeat"))

    heartbeat.beat()

    assert "can't be looked at" in heartbeat.fault(1)


@pytest.mark.parametrize(("status", "fault"), [(200, ""), (503, "answers 503")])
def test_a_process_with_a_port_is_asked_by_the_name_that_it_answers_to(status: int, fault: str, tmp_path: Path) -> None:
    with FaultServer(answer(status)) as server:
        code, said = ask(tmp_path, f"{server.url}/healthz", PUBLIC_URL="https://sendmsg.example")

        assert (code, fault in said) == (bool(fault), True)
        [request] = server.requests
        assert (request.path, request.headers["host"]) == ("/healthz", "sendmsg.example")


def test_a_port_where_nobody_listens_is_a_fault(tmp_path: Path) -> None:
    code, said = ask(tmp_path, f"http://127.0.0.1:{free_port()}/healthz")

    assert (code, said.endswith("does not answer: ConnectionRefusedError")) == (1, True)
