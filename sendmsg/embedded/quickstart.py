"""`make run`: everything on this machine, out of one folder, with one message sent to prove it.

    python manage.py quickstart [--once] [--local FOLDER]

Starts PostgreSQL and Valkey, brings both databases up to date, starts the processes, sends a message by the API and
shows its timeline, then serves until Ctrl-C, SIGTERM or the end of the terminal, and leaves no process. Variables:
PORT, FLOWER_PORT, SANDBOX_PORT, LOCAL_DIR, and ONCE=1 to end after the message was delivered.

Exit codes: 0 after it was delivered, 1 when something did not work, 130 when stopped before that. With ONCE the answer
comes within `WHOLE_RUN` seconds.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendmsg.embedded import children, ports, sample
from sendmsg.embedded.console import Console
from sendmsg.embedded.local import LocalFolder, Secrets
from sendmsg.embedded.ports import Ports
from sendmsg.embedded.postgres import EmbeddedPostgres
from sendmsg.embedded.process import HOST, EmbeddedServerError
from sendmsg.embedded.server import Server
from sendmsg.embedded.supervisor import PATIENCE, Stopped, StopRequest, Supervisor
from sendmsg.embedded.valkey import EmbeddedValkey
from sendmsg.errors import ConfigurationError, StartFailed

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DATABASES = ("sendmsg", "sendmsg_logs")
WHOLE_RUN = 60.0  # seconds; who waits for ONCE=1 in a script wants an answer, not a rescue
ENDING = PATIENCE + 4.0  # seconds of it that are kept for an orderly end
TRUE = {"1": True, "true": True, "yes": True, "on": True, "": False, "0": False, "false": False, "no": False, "off": False}


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
        chosen = ports.choose(os.environ)
        local = LocalFolder.open(options.local)
    except ConfigurationError as error:
        console.complain(str(error))
        return 1
    with contextlib.closing(local):
        return Quickstart(options, chosen, local, console, stop).run()


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
        self.deadline = time.monotonic() + WHOLE_RUN - ENDING
        self.delivered = False

    def run(self) -> int:
        self.console.say(f"SendMSG on this machine alone: everything is in {_short(self.local.path)}, Ctrl-C ends it.\n")
        with contextlib.ExitStack() as running:
            try:
                self._serve(running)
            except Stopped:
                self.console.say("\nStopping")
            except (ConfigurationError, EmbeddedServerError, StartFailed) as error:
                self.console.complain(str(error))
                return 1
        return 0 if self.delivered else 130

    def _serve(self, running: contextlib.ExitStack) -> None:
        secrets = self.local.read_secrets()
        self.local.clear_metrics()
        for server in (self.postgres, self.valkey):
            self._start_server(server, running)
        supervisor = self._supervisor(secrets)
        running.callback(supervisor.stop)
        secrets = self._prepare_databases(supervisor, secrets)
        with self.console.step("Processes"):
            for child in children.services(secrets, self.ports):
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
        with self.console.step(server.name):
            server.start()
        running.callback(server.stop)

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
        with self.console.step("Databases and demo account"):
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
        self.console.say(f'\nPOST /v1/messages {{"to": "{sample.TO}", "body": "{sample.BODY}"}}, and what became of it:\n')
        for step in steps:
            data = ", ".join(f"{name} {value}" for name, value in step.data.items())
            self.console.say(f"  {step.total:8.1f} ms {f'+{step.own:.1f}':>9}  {step.type:<12} {data}".rstrip())

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


def _options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="manage.py quickstart", description="Start everything on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the sample message was delivered (or ONCE=1)")
    parser.add_argument("--local", type=Path, help="where everything is kept (or LOCAL_DIR; default: .local)")
    flags = parser.parse_args(argv)
    once = os.environ.get("ONCE", "").lower()
    if once not in TRUE:
        raise ConfigurationError(f"ONCE is {once}: expected 1 or 0")
    local = flags.local or Path(os.environ.get("LOCAL_DIR") or CHECKOUT / ".local")
    return Options(once=flags.once or TRUE[once], local=local)


def _short(path: Path) -> str:
    """As one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
