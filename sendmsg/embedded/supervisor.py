"""Runs the processes of the one-command mode: starts them, says which one died and starts it again, ends them all.

Everything happens in calls of the one thread that owns the supervisor: `tend` looks after the children and must be
called often, which `wait_for` does. Each child has a session of its own, so that a terminal's Ctrl-C reaches us alone
and the order of the end is ours, and so that what a child started itself can be ended with it. On Linux the kernel
kills the children of a supervisor that was killed itself.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sendmsg.embedded.child import Child, Running, meaning
from sendmsg.embedded.process import spawn
from sendmsg.embedded.server import Server
from sendmsg.embedded.stopping import StopRequest
from sendmsg.errors import StartFailed

POLL = 0.05  # seconds between two looks
FIRST_PAUSE = 0.5  # seconds before a child that died is started again; doubles with each death
LONGEST_PAUSE = 30.0  # seconds
SETTLED = 60.0  # seconds; a child that lived as long has its earlier deaths forgiven
PATIENCE = 6.0  # seconds for all children to end after SIGTERM; a killed one loses nothing, its leases end
LEAST_PATIENCE = 1.0  # seconds of it for those that come after somebody who used it all
TAIL = 15  # lines of a log that an error shows


class Supervisor:
    """Children write to a log each, in `logs`; `environment` is common to all; `say` prints a line."""

    def __init__(
        self, folder: Path, logs: Path, environment: Mapping[str, str], stop: StopRequest, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._logs = logs
        self._environment = environment
        self._stop = stop
        self._say = say
        self._running: list[Running] = []
        self._servers: list[Server] = []
        logs.mkdir(mode=0o700, exist_ok=True)

    def watch(self, server: Server) -> None:
        """Look after a server too, started by somebody else. It is not ended here: its clients come first."""
        self._servers.append(server)

    def start(self, child: Child) -> None:
        """Start a child and keep it running; its log begins anew, the last run's is kept beside it."""
        running = self._make(child)
        self._launch(running)
        self._running.append(running)

    def run(self, child: Child) -> str:
        """Run a child to its end and return what it wrote to standard output, which is not logged.

        Raises `StartFailed` with the end of its log if it fails, `Stopped` if we are asked to stop meanwhile.
        """
        running = self._make(child)
        with running.log.open("ab") as log, tempfile.TemporaryFile() as output:
            process = running.process = subprocess.Popen(
                child.command,
                cwd=self._folder,
                env={**self._environment, **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
            try:
                while (code := process.poll()) is None:
                    self._stop.check()
                    time.sleep(POLL)
            finally:
                running.end_group()
            if code != 0:
                raise StartFailed(f"{child.name} failed: {meaning(code)}\n{self.tail(child.name)}")
            output.seek(0)
            return output.read().decode()

    def wait_until_ready(self, seconds: float) -> None:
        """Until every child is; raises `StartFailed` for one that dies before, or is not within `seconds`."""
        deadline = time.monotonic() + seconds
        waiting = list(self._running)
        while waiting := [running for running in waiting if not running.is_ready()]:
            self._stop.check()
            for running in waiting:
                code = running.exit_code()
                if code is None and time.monotonic() < deadline:
                    continue
                problem = "did not get ready in time" if code is None else f"died: {meaning(code)}"
                raise StartFailed(f"{running.child.name} {problem}\n{self.tail(running.child.name)}")
            time.sleep(POLL)

    def wait_for(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Tend the children until the condition holds: True; or until `seconds` have passed: False.

        Raises `Stopped` if we are asked to stop.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not condition():
            self._stop.check()
            self.tend()
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def tend(self) -> None:
        """One look at everything: what died is reported, and started again after its pause."""
        for server in self._servers:
            if not server.is_running():
                self._revive(server)
        for running in self._running:
            if running.start_at is None:
                self._look_at(running)
            elif time.monotonic() >= running.start_at:
                self._launch(running)

    def stop(self) -> None:
        """End the children, those of a lower rank first, by force after `PATIENCE` or when it is urgent."""
        deadline = time.monotonic() + PATIENCE
        for rank in sorted({running.child.rank for running in self._running}):
            group = [running for running in self._running if running.child.rank == rank]
            for running in group:
                running.terminate()
            deadline = max(deadline, time.monotonic() + LEAST_PATIENCE)
            while any(running.is_alive() for running in group):
                if time.monotonic() > deadline or self._stop.urgent:
                    break
                time.sleep(POLL)
            for running in group:
                if running.is_alive():
                    self._say(f"{running.child.name} did not end in time and is killed")
                running.end_group()
        self._running.clear()

    def tail(self, name: str) -> str:
        """The last lines of a child's log, under its path."""
        log = self._log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"{log} ends with:", *(f"    {line}" for line in lines[-TAIL:])])

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _make(self, child: Child) -> Running:
        log = self._log(child.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
        return Running(child, log)

    def _launch(self, running: Running) -> None:
        child = running.child
        with running.log.open("ab") as log:
            running.process = spawn(
                child.command, folder=self._folder, output=log, environment={**self._environment, **child.environment}
            )
        running.started_at, running.start_at = time.monotonic(), None

    def _look_at(self, running: Running) -> None:
        """Report a child that died, and set the time of its next start."""
        if (code := running.exit_code()) is None:
            return
        running.end_group()
        now = time.monotonic()
        running.deaths = 1 if now - running.started_at > SETTLED else running.deaths + 1
        pause = min(FIRST_PAUSE * 2 ** (running.deaths - 1), LONGEST_PAUSE)
        running.start_at = now + pause
        self._say(f"{running.child.name} died: {meaning(code)}; starting it again in {pause:g} s, see {running.log}")

    def _revive(self, server: Server) -> None:
        """Start a server again, at once: nothing works without it. Raises `EmbeddedServerError` when it stays down."""
        self._say(f"{server.name} died; starting it again")
        server.start()
