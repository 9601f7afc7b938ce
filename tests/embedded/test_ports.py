import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sendmsg.embedded.ports import Ports, choose
from sendmsg.embedded.process import HOST, free_port, is_free
from sendmsg.errors import ConfigurationError


def three_free_ports() -> int:
    """The first of three in a row."""
    while True:
        port = free_port()
        if is_free(port + 1) and is_free(port + 2):
            return port


@contextmanager
def somebody_on(port: int) -> Iterator[None]:
    with socket.create_server((HOST, port)):
        yield


def test_two_more_ports_follow_the_first() -> None:
    port = three_free_ports()

    chosen = choose({"PORT": str(port), "FLOWER_PORT": "", "UNRELATED": "x"})

    assert chosen == Ports(port, port + 1, port + 2)


def test_each_port_can_be_named() -> None:
    port = three_free_ports()
    sandbox, web, flower = port, port + 1, port + 2

    chosen = choose({"PORT": str(web), "FLOWER_PORT": str(flower), "SANDBOX_PORT": str(sandbox)})

    assert chosen == Ports(web, flower, sandbox)


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT", "SANDBOX_PORT"])
@pytest.mark.parametrize("value", ["0", "65536", "9" * 30, "-1", "80a", "8 000", "٨٠٠٠", "8000.0"])
def test_what_is_no_port_is_refused_in_one_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose({"PORT": str(three_free_ports())} | {name: value})

    assert str(caught.value) == f"{name} is {value}: expected a whole number from 1 to 65535"


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT", "SANDBOX_PORT"])
def test_a_taken_port_is_refused_in_one_line_that_names_the_variable(name: str) -> None:
    taken = free_port()
    with somebody_on(taken), pytest.raises(ConfigurationError) as caught:
        choose({"PORT": str(three_free_ports())} | {name: str(taken)})

    assert str(caught.value).startswith(
        f"{name}: port {taken} is taken by another program: choose a free one, such as {name}="
    )
    assert "\n" not in str(caught.value)


def test_a_port_used_twice_is_refused() -> None:
    port = str(free_port())

    with pytest.raises(ConfigurationError, match=f"FLOWER_PORT is {port}, and so is PORT"):
        choose({"PORT": port, "FLOWER_PORT": port})


def test_a_port_that_was_in_use_a_moment_ago_is_free() -> None:
    """A connection that its server closed first keeps the port in TIME_WAIT for a minute."""
    port = three_free_ports()
    with socket.create_server((HOST, port)) as server, socket.create_connection((HOST, port)) as client:
        server.accept()[0].close()
        client.recv(1)

    assert choose({"PORT": str(port)}).web == port
