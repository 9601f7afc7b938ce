"""The ports of the one-command mode: read from the environment, and found free before anything is started."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from sendmsg.embedded.process import HOST, is_free
from sendmsg.errors import ConfigurationError

DEFAULT = 8000
HIGHEST = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """Where on the loopback the web process, Flower and the sandbox provider listen."""

    web: int
    flower: int
    sandbox: int


def choose(environment: Mapping[str, str]) -> Ports:
    """PORT, FLOWER_PORT and SANDBOX_PORT, or their defaults: 8000, PORT + 1, PORT + 2.

    Raises `ConfigurationError`, one line that names the variable, for a value that is no port, or is used twice, or
    is taken.
    """
    web = _read(environment, "PORT", DEFAULT)
    chosen = {
        "PORT": web,
        "FLOWER_PORT": _read(environment, "FLOWER_PORT", web + 1),
        "SANDBOX_PORT": _read(environment, "SANDBOX_PORT", web + 2),
    }
    names: dict[int, str] = {}
    for name, port in chosen.items():
        if port in names:
            raise ConfigurationError(f"{name} is {port}, and so is {names[port]}: each needs a port of its own")
        names[port] = name
    for name, port in chosen.items():
        _must_be_free(name, port)
    return Ports(*chosen.values())


def _read(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:6]) <= HIGHEST:
        raise ConfigurationError(f"{name} is {value}: expected a whole number from 1 to {HIGHEST}")
    return int(value)


def _must_be_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = f"is taken by another program: choose a free one, such as {name}={_suggestion(port)}"
            else:
                reason = f"can't be used: {error.strerror}"
            raise ConfigurationError(f"{name}: port {port} {reason}") from None


def _suggestion(port: int) -> int:
    """A port with two free neighbours above, so that it does for PORT too."""
    for candidate in range(port + 10, HIGHEST - 2, 10):
        if all(is_free(near) for near in range(candidate, candidate + 3)):
            return candidate
    return DEFAULT
