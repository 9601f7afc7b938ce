"""`make run`: everything on this machine, out of one folder, with one message sent to prove it.

    python manage.py quickstart [--once] [--local FOLDER]

Starts PostgreSQL and Valkey, brings both databases up to date, starts the processes, sends a message by the API and
shows its timeline, then serves until Ctrl-C, SIGTERM or the end of the terminal, and leaves no process. Variables:
PORT, FLOWER_PORT, SANDBOX_PORT, LOCAL_DIR, and ONCE=1 to end after the message was delivered.

Exit codes: 0 after it was delivered, 1 when something did not work, 130 when stopped before that. With ONCE the answer
comes within `ONCE_RUN` seconds.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sendmsg.embedded import children, ports, sample
from sendmsg.embedded.console import Console
from sendmsg.embedded.local import LocalFolder, Secrets
from sendmsg.embedded.ports import Ports
from sendmsg.embedded.postgres import EmbeddedPostgres
from sendmsg.embedded.process import HOST, EmbeddedServerError
from sendmsg.embedded.server import Server
from sendmsg.embedded.stopping import Stopped, StopRequest
from sendmsg.embedded.supervisor import LEAST_PATIENCE, PATIENCE, Supervisor
from sendmsg.embedded.valkey import EmbeddedValkey
from sendmsg.errors import ConfigurationError, StartFailed

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DATABASES = ("sendmsg", "sendmsg_logs")
ONCE_RUN = 60.0  # seconds; who waits for ONCE=1 in a script wants an answer, even "no"
ENDING = PATIENCE + LEAST_PATIENCE + 3.0  # seconds of it that are kept for an orderly end
PATIENT_RUN = 300.0  # seconds to the first delivered message for a person, who may have a slow machine


@dataclass(frozen=True, slots=True)
class Options:
    once: bool
    local: Path


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    console = Console()
    logging.basicConfig(handlers=[console], level=logging.WARNING)
    stop = StopRequest()
    stop.listen()
    try:
        options = _options(argv)
        with LocalFolder.open(options.local) as local:
            return Quickstart(options, ports.choose(os.environ), local, console, stop).run()
    except ConfigurationError as error:
        console.complain(str(error))
        return 1


class Quickstart:
    """One run, from the first server to the last line."""

    def __init__(
        self, options: Options, chosen: Ports, local: LocalFolder, console: Console, stop: StopRequest
    ) -> None:
        self.once = options.once
        self.ports = chosen
        self.local = local
        self.console = console
        self.stop = stop
        self.postgres = EmbeddedPostgres(local.path / "postgres")
        self.valkey = EmbeddedValkey(local.path / "valkey")
        self.deadline = time.monotonic() + (ONCE_RUN - ENDING if options.once else PATIENT_RUN)
        self.delivered = False

    def run(self) -> int:
        folder = _short(self.local.path)
        self.console.say(f"SendMSG on this machine alone: everything is in {folder}, Ctrl-C ends it.\n")
        running = contextlib.ExitStack()
        failed = False
        try:
            self._serve(running)
        except Stopped:
            pass
        except (ConfigurationError, EmbeddedServerError, StartFailed) as error:
            self.console.complain(str(error))
            failed = True
        finally:
            self.console.say()
            with self.console.step("Stopping"):
                running.close()
        if failed:
            return 1
        return 0 if self.delivered else 130

    def _serve(self, running: contextlib.ExitStack) -> None:
        secrets = self.local.read_secrets()
        self.local.clear_metrics()
        for server in (self.postgres, self.valkey):
            self._start_server(server, running)
        supervisor = self._supervisor(secrets)
        running.callback(supervisor.stop)
        for child in children.beside(secrets, self.ports):
            supervisor.start(child)
        secrets = self._prepare_databases(supervisor, secrets)
        with self.console.step("Processes"):
            for child in children.services(self.ports):
                supervisor.start(child)
            supervisor.wait_until_ready(self._time_left())
        self._send_sample(supervisor, secrets)
        self.delivered = True
        if self.once:
            return
        self._show_addresses(secrets)
        supervisor.wait_for(lambda: False)

    def _start_server(self, server: Server, running: contextlib.ExitStack) -> None:
        self.stop.check()
        running.callback(server.stop)
        with self.console.step(server.name), self._bounded(server.name):
            server.start()

    def _supervisor(self, secrets: Secrets) -> Supervisor:
        urls = {
            "DATABASE_URL": self.postgres.url(DATABASES[0]),
            "LOGS_DATABASE_URL": self.postgres.url(DATABASES[1]),
            "REDIS_URL": self.valkey.url(0),
            "BROKER_URL": self.valkey.url(1),
        }
        environment = children.environment(secrets, self.ports, urls, self.local.metrics)
        supervisor = Supervisor(CHECKOUT, self.local.log, environment, self.stop, self.console.say)
        for server in (self.postgres, self.valkey):
            supervisor.watch(server)
        return supervisor

    def _prepare_databases(self, supervisor: Supervisor, secrets: Secrets) -> Secrets:
        with self.console.step("Databases and demo account"), self._bounded("migrating"):
            for name in DATABASES:
                self.postgres.create_database(name)
            printed = supervisor.run(children.prepare(secrets, self.ports))
        if not printed.strip():
            return secrets
        made = json.loads(printed)
        return self.local.remember_keys(secrets, live=made["live"], test=made["test"])

    def _send_sample(self, supervisor: Supervisor, secrets: Secrets) -> None:
        client = sample.Client(self.ports.web, secrets.live_key)
        try:
            steps = sample.deliver(client, lambda condition: supervisor.wait_for(condition, self._time_left()))
        except StartFailed as error:
            tails = [supervisor.tail(name) for name in ("web", "relay", "worker", "receipts", "logwriter", "sandbox")]
            raise StartFailed("\n".join([str(error), *tails])) from None
        self.console.say(f"\nA message to {sample.TO} by POST /v1/messages, and what became of it:\n")
        for step in steps:
            self.console.say(f"  {step.total:8.1f} ms {step.own:+9.1f}  {step.type:<12} {step.about}".rstrip())

    def _show_addresses(self, secrets: Secrets) -> None:
        web = f"http://{HOST}:{self.ports.web}"
        self.console.say(
            f"""
  Live key   {secrets.live_key}
  Test key   {secrets.test_key}

  API docs   {web}/docs
  Admin      {web}/admin/  (admin, {secrets.admin_password})
  Flower     http://{HOST}:{self.ports.flower}/  (admin, {secrets.admin_password})
  Logs       {_short(self.local.log)}

Send one yourself; the last two digits choose what happens to it:

curl {web}/v1/messages \\
  -H 'Authorization: Bearer {secrets.live_key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"to": "{sample.TO}", "body": "{sample.BODY}"}}'

Ctrl-C stops everything."""
        )

    def _time_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @contextlib.contextmanager
    def _bounded(self, what: str) -> Iterator[None]:
        """Raises `StartFailed` out of whatever waits in the block when the time for it all is over."""

        def over(number: int, frame: FrameType | None) -> None:
            raise StartFailed(f"{what} took too long")

        signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, max(0.1, self._time_left()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="manage.py quickstart", description="Start everything on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the sample message was delivered (or ONCE=1)")
    parser.add_argument("--local", type=Path, help="where everything is kept (or LOCAL_DIR; default: .local)")
    flags = parser.parse_args(argv)
    once = os.environ.get("ONCE") or "0"
    if once not in ("0", "1"):
        raise ConfigurationError(f"ONCE is {once}: expected 1 or 0")
    local = flags.local or Path(os.environ.get("LOCAL_DIR") or CHECKOUT / ".local")
    return Options(once=flags.once or once == "1", local=local)


def _short(path: Path) -> str:
    """As one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
