"""RabbitMQ in a container, where an engine answers and no `rabbitmq-server` is installed."""

import os
import secrets
import shutil
import subprocess
import time

from sendmsg.embedded.process import HOST
from tests.servers.errors import NoServer
from tests.servers.rabbitmq import CTL_WITHIN, POLL, START_WITHIN, Address, RabbitMQ, answers

IMAGE = "rabbitmq:3.13"
ANSWER_WITHIN = 5  # seconds; an engine that sleeps is as good as none
PULL_WITHIN = 600  # seconds


def engine_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=ANSWER_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def run_command(name: str, address: Address) -> list[str]:
    """Names of variables without their values: docker takes those from its own environment, which `ps` doesn't show."""
    variables = [part for variable in variables_of(address) for part in ("--env", variable)]
    return [
        *("docker", "run", "--detach", "--name", name, "--publish", f"{HOST}:{address.port}:5672"),
        *variables,
        IMAGE,
    ]


def variables_of(address: Address) -> dict[str, str]:
    return {
        "RABBITMQ_DEFAULT_USER": address.user,
        "RABBITMQ_DEFAULT_PASS": address.password,
        "RABBITMQ_DEFAULT_VHOST": address.vhost,
    }


class DockerRabbitMQ(RabbitMQ):
    """The same node, in a container that lives until `remove`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._name = f"sendmsg-tests-{secrets.token_hex(6)}"
        self._made = False
        self._paused = False

    def start(self) -> None:
        if self._made:
            self._docker("start", self._name)
        else:
            self._call(run_command(self._name, self.address), PULL_WITHIN)
            self._made = True
        deadline = time.monotonic() + START_WITHIN
        while not answers(self.url()):
            if time.monotonic() > deadline:
                raise NoServer(f"RabbitMQ in Docker did not start: docker logs {self._name}")
            time.sleep(POLL)

    def stop(self) -> None:
        self._docker("stop", self._name)

    def kill(self) -> None:
        self._docker("kill", self._name)

    def pause(self) -> None:
        self._docker("pause", self._name)
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._docker("unpause", self._name)
            self._paused = False

    def ctl(self, *arguments: str) -> str:
        return self._docker("exec", self._name, "rabbitmqctl", "--quiet", *arguments)

    def remove(self) -> None:
        if self._made:
            self._docker("rm", "--force", "--volumes", self._name)

    def _docker(self, *arguments: str) -> str:
        return self._call(["docker", *arguments], CTL_WITHIN)

    def _call(self, command: list[str], seconds: float) -> str:
        environment = {**os.environ, **variables_of(self.address)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise NoServer(f"docker {command[1]} failed: {done.stderr.strip()}")
        return done.stdout
