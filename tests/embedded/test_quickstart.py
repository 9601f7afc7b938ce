"""`make run` as a user has it: the command, its output, its signals, and what it leaves behind."""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sendmsg.embedded.process import HOST, free_port, processes_in
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
PORT_NAMES = ("PORT", "FLOWER_PORT", "SANDBOX_PORT")
ALIEN = {
    "DATABASE_URL": "postgresql://nowhere.invalid/theirs",
    "SECRET_KEY_FILE": "/nowhere",
    "BROKER_URL": "amqp://nowhere.invalid//",
    "ALLOWED_HOSTS": "nowhere.invalid",
    "HTTP_PROXY": "http://nowhere.invalid",
    "http_proxy": "http://nowhere.invalid",
    "FLOWER_BASIC_AUTH": "them:theirs",
    "GUNICORN_CMD_ARGS": "--bind nowhere.invalid:1",
    "DJANGO_SETTINGS_MODULE": "nowhere",
    "PYTHONPATH": "/nowhere",
    "LOG_LEVEL": "nonsense",
}
"""What a user's shell may hold, none of which may matter."""


class Run:
    """One `manage.py quickstart` and what it printed so far."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in PORT_NAMES} | {
            name: int(environment.pop(name)) for name in PORT_NAMES if name in environment
        }
        ports = {name: str(port) for name, port in self.ports.items()}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "quickstart", "--local", str(folder), *arguments],
            cwd=ROOT,
            env={**os.environ, **ALIEN, **ports, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output += line

    def wait(self, seconds: float = 60) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self._reader.join()

    def sees(self, text: str, seconds: float = 40) -> None:
        eventually(lambda: text in self.output or self.process.poll() is not None, f"it prints {text}", seconds)
        assert text in self.output, self.output

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.output)
        assert match is not None, self.output
        return match[1]

    @property
    def live_key(self) -> str:
        return self.found(r"Live key +(smk_live_\w+)")

    def ask(self, method: str, path: str, document: object = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.live_key}", "Content-Type": "application/json"}
        status, body = fetch(self.ports["PORT"], path, headers, method, json.dumps(document) if document else None)
        assert status < 300, body
        answer: dict[str, str] = json.loads(body)
        return answer

    def sends(self) -> None:
        """A message is accepted and delivered."""
        message = self.ask("POST", "/v1/messages", {"to": "+447700900000", "body": "Hello"})["id"]
        eventually(lambda: self.ask("GET", f"/v1/messages/{message}")["status"] == "delivered", "delivered")


def fetch(
    port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: str | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def processes() -> dict[int, str]:
    """Commands and environments of all processes that we may look at, by pid."""
    if not Path("/proc/self/environ").exists():
        listing = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        return {int(line.split()[0]): line for line in listing.stdout.splitlines()}
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                found[int(entry.name)] = text.replace(b"\0", b" ").decode(errors="replace")
    return found


def servers(folder: Path, program: str) -> list[int]:
    return processes_in(folder / ("valkey" if program == "valkey-server" else program) / "data", program)


def left_behind(folder: Path) -> list[str]:
    """The processes that belong to a folder: their environment or command names it, or they are its servers."""
    ours = [text for text in processes().values() if str(folder) in text]
    return ours + [f"{name} {servers(folder, name)}" for name in ("postgres", "valkey-server") if servers(folder, name)]


@pytest.fixture
def once(folder: Path) -> Run:
    """A run that has ended after its message, in a fresh folder."""
    made = Run(folder / ".local", ONCE="1")
    assert made.wait() == 0, made.output
    return made


def test_once_delivers_and_a_second_run_serves_the_same_keys(once: Run) -> None:
    for step in ("accepted", "released", "sending", "sent", "delivered"):
        assert re.search(rf"^ +\d+\.\d ms +\+\d+\.\d  {step}", once.output, re.MULTILINE), once.output
    assert left_behind(once.folder) == []
    known = json.loads((once.folder / "secrets.json").read_text())

    again = Run(once.folder)
    try:
        again.sees("Ctrl-C stops everything")
        assert again.live_key == known["live_key"]
        again.sends()
        shows_its_pages(again, known["admin_password"])
        refuses_a_second_run(again)
        survives_deaths(again)
    finally:
        again.process.send_signal(signal.SIGINT)
        code = again.wait()

    assert code == 0
    assert left_behind(again.folder) == []


def shows_its_pages(run: Run, password: str) -> None:
    assert fetch(run.ports["PORT"], "/docs")[0] == 200
    assert fetch(run.ports["PORT"], "/admin/login/")[0] == 200
    flower = run.ports["FLOWER_PORT"]
    assert fetch(flower, "/")[0] == 401
    login = {"Authorization": f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}"}
    assert fetch(flower, "/tasks", login)[0] == 200
    eventually(
        lambda: "embedded.all.sandbox+sendmsg@" in fetch(flower, "/workers?json=1", login)[1], "Flower shows the worker"
    )

    def shown() -> dict[str, dict[str, str]]:
        run.sends()
        return dict(json.loads(fetch(flower, "/api/tasks", login)[1]))

    for task in eventually(shown, "Flower shows tasks", 30).values():
        assert task["name"].startswith("dispatch.deliver.")
        assert re.fullmatch(r"[0-9a-f-]{36}/\d+", task["args"]), task["args"]


def refuses_a_second_run(run: Run) -> None:
    second = Run(run.folder)
    assert second.wait() == 1
    assert second.output == (
        f"sendmsg: make run is running in {run.folder} already (pid {run.process.pid}): stop it first\n"
    )


def survives_deaths(run: Run) -> None:
    [relay] = [pid for pid, text in processes().items() if "manage.py relay" in text and str(run.folder) in text]
    [valkey] = servers(run.folder, "valkey-server")
    os.kill(relay, signal.SIGKILL)
    os.kill(valkey, signal.SIGKILL)
    run.sees("relay died: killed by SIGKILL (exit code -9); starting it again in 0.5 s")
    run.sees("Valkey died; starting it again")
    run.sends()


def test_a_taken_port_is_said_in_one_line(folder: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        run = Run(folder / ".local", PORT=str(port))
        assert run.wait() == 1

    assert run.output.startswith(f"sendmsg: PORT: port {port} is taken by another program")
    assert run.output.count("\n") == 1


def test_ctrl_c_while_it_starts_leaves_no_process(folder: Path) -> None:
    run = Run(folder / ".local")
    run.sees("Valkey")

    run.process.send_signal(signal.SIGINT)

    assert run.wait() == 130
    assert left_behind(run.folder) == []
