"""A private RabbitMQ node from an installed `rabbitmq-server`: its own name, ports, folder, user, password and epmd.

It disturbs no other node on the machine and is disturbed by none. On Linux it dies with the test run, however that
ends.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, urlsplit

import amqp

from sendmsg.embedded.process import HOST, EmbeddedServerError, end, free_port, spawn

# The programs themselves; what a package puts on PATH may be a wrapper that changes the user.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin", "/usr/sbin")
START_WITHIN = 90.0  # seconds; four on an idle machine
STOP_WITHIN = 30.0  # seconds; one on an idle machine
CTL_WITHIN = 60.0  # seconds
LOGIN_WITHIN = 5.0  # seconds
POLL = 0.05  # seconds
# Erlang itself is told the name, which spares the boot of a second Erlang that would look for epmd.
ERLANG = "-noinput -sname {node} -start_epmd false -kernel inet_dist_use_interface {{127,0,0,1}}"
# In Erlang's own terms in place of `rabbitmq.conf`, which takes RabbitMQ longer to read.
CONFIGURATION = """\
[{{rabbit, [{{tcp_listeners, [{{"{host}", {address.port}}}]}},
           {{default_vhost, <<"{address.vhost}">>}},
           {{default_user, <<"{address.user}">>}},
           {{default_pass, <<"{address.password}">>}}]}},
 {{rabbitmq_management, [{{tcp_config, [{{ip, "{host}"}}, {{port, {api_port}}}]}}]}}].
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a private RabbitMQ will be, decided before it starts: settings need to know."""

    port: int
    user: str
    password: str
    vhost: str

    @classmethod
    def reserve(cls) -> Self:
        return cls(free_port(), "tests", secrets.token_hex(16), "tests")

    def url(self, vhost: str | None = None) -> str:
        return f"amqp://{self.user}:{self.password}@{HOST}:{self.port}/{quote(vhost or self.vhost, safe='')}"


class RabbitMQ:
    """One node. `stop`, `kill` and `restart` keep the durable messages and the address.

    `beside`: a node that runs, which this one can join. It has the same users, the same cookie, and its epmd.
    """

    def __init__(self, folder: Path, address: Address | None = None, beside: Self | None = None) -> None:
        self.folder = folder.resolve()
        self.address = address or Address.reserve()
        self._api_port = free_port()
        self._node = f"tests-{secrets.token_hex(4)}@localhost"
        self._beside = beside
        self._cookie: str = beside._cookie if beside else secrets.token_hex(16)
        self._epmd_port: int = beside._epmd_port if beside else free_port()
        self._beam: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed() -> bool:
        return _program("rabbitmq-server") is not None and shutil.which("erl") is not None

    def url(self, vhost: str | None = None) -> str:
        return self.address.url(vhost)

    @property
    def pid(self) -> int | None:
        """None unless it runs."""
        return self._beam.pid if self._beam is not None and self._beam.poll() is None else None

    def start(self) -> None:
        """Start, and wait until it takes a login; does nothing if it runs."""
        if self.pid is not None:
            return
        self._prepare()
        environment = self.environment()
        with self._log.open("ab") as log:
            if self._beside is None and (self._epmd is None or self._epmd.poll() is not None):
                self._epmd = spawn([_epmd()], folder=self.folder, output=log, environment=environment)
            self._beam = spawn([_need("rabbitmq-server")], folder=self.folder, output=log, environment=environment)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it in order, by force after `STOP_WITHIN`, and leave no process."""
        if self.pid is not None and self._beam is not None:
            self.resume()
            end(self._beam, (signal.SIGTERM, STOP_WITHIN))
        if self._epmd is not None:
            end(self._epmd)
        self._beam = self._epmd = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL: no queue is closed, no client is told."""
        if self._beam is not None:
            end(self._beam)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """`rabbitmqctl` against this node; what it printed.

        Raises `subprocess.CalledProcessError` if it fails.
        """
        return self._run("rabbitmqctl", *arguments)

    def join(self) -> None:
        """Be a member of the cluster of the node beside it; what this one held is gone."""
        assert self._beside is not None
        self.ctl("stop_app")
        self.ctl("join_cluster", self._beside._node)
        self.ctl("start_app")

    def enable_api(self) -> str:
        """Serve the management API until the next start, which is faster without; its URL."""
        self._run("rabbitmq-plugins", "enable", "rabbitmq_management")
        return f"http://{HOST}:{self._api_port}"

    def create_vhost(self, name: str) -> str:
        """One more virtual host; its URL."""
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "--vhost", name, self.address.user, ".*", ".*", ".*")
        return self.url(name)

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _signal(self, number: signal.Signals) -> None:
        if self._beam is not None and self._beam.poll() is None:
            self._beam.send_signal(number)

    def _run(self, program: str, *arguments: str) -> str:
        if self.pid is None:  # it would start an epmd of its own and leave it running
            raise EmbeddedServerError(f"{program} needs a running node")
        done = subprocess.run(
            [_need(program), "--quiet", "--node", self._node, *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=CTL_WITHIN,
            check=True,
        )
        return done.stdout

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._cookie)
            cookie.chmod(0o400)  # Erlang refuses one that others may read
        (self.folder / "enabled_plugins").write_text("[].\n")
        configuration = CONFIGURATION.format(host=HOST, address=self.address, api_port=self._api_port)
        (self.folder / "advanced.config").write_text(configuration)

    def environment(self) -> dict[str, str]:
        """What the node's programs, and `rabbitmqctl` beside them, need to find each other."""
        folder = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes Erlang in place of staying beside it
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_NODENAME": self._node,
            # It shares few cores with the tests: bound and easily sleeping schedulers take it a third longer to start.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "very_short",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG.format(node=self._node),
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_WITHIN
        while self.pid is not None and time.monotonic() < deadline:
            if answers(self.url()):
                return
            time.sleep(POLL)
        lines = self._log.read_text(errors="replace").splitlines()
        raise EmbeddedServerError("\n".join([f"RabbitMQ did not start; {self._log} ends with:", *lines[-20:]]))


def answers(url: str) -> bool:
    """Whether a RabbitMQ takes the login that this URL describes."""
    parts = urlsplit(url)
    secure = parts.scheme == "amqps"
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port or (5671 if secure else 5672)}",
        userid=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
        ssl=secure,
        connect_timeout=LOGIN_WITHIN,
        read_timeout=LOGIN_WITHIN,
    )
    try:
        connection.connect()
        connection.close()
    except (OSError, amqp.exceptions.AMQPError):
        connection.collect()
        return False
    return True


def _program(name: str) -> str | None:
    known = [path for folder in FOLDERS if (path := Path(folder, name)).exists()]
    return str(known[0]) if known else shutil.which(name)


def _need(name: str) -> str:
    program = _program(name)
    if program is None:
        raise EmbeddedServerError(f"{name} is not installed")
    return program


def _epmd() -> str:
    """Erlang's name server; not every package puts it on PATH."""
    found: Sequence[str | None] = [shutil.which("epmd")]
    if (erlang := shutil.which("erl")) is not None:
        found = [*found, str(Path(erlang).resolve().with_name("epmd"))]
    return next((path for path in found if path is not None and Path(path).exists()), "epmd")
