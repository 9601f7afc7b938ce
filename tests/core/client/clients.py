"""What the tests of the HTTP client share: clients with short bounds, and ways to trouble them."""

import socket
import threading
import time
from typing import Any

import pytest

from sendmsg.errors import CallFailed
from sendmsg.http import HttpClient, build_session

DRIP = 0.02  # seconds between bytes
PLANTED = b"p1anted-s3cret"
SLACK = 0.5  # seconds that a loaded machine may add to a deadline


class TimeLimitExceeded(Exception):
    pass


def client(**bounds: Any) -> HttpClient:
    """Patient by itself, longer than a loaded machine stands still: a test that waits for a bound names a short one."""
    return build_session(
        **{"connect_timeout": 5.0, "read_timeout": 10.0, "total_timeout": 15.0, "pool_size": 4, **bounds}
    )


def failure(http: HttpClient, url: str, **request: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        http.request("POST", url, **{"body": b"x", **request})
    return caught.value


def interrupt_at(call: int, method: Any) -> Any:
    """`method`, until its nth call brings what a task runner raises into a task that takes too long."""
    left = iter(range(call - 1))

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise TimeLimitExceeded
        return method(*args, **kwargs)

    return interrupted


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def wait_until_closed(http: HttpClient) -> None:
    """Until the server's FIN has reached every idle connection."""
    pools = http._session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    idle = [one for key in pools.keys() for one in list(pools[key].pool.queue) if one is not None]  # noqa: SIM118
    wait_for(lambda: not any(one.is_connected for one in idle))


def answer_unread(listener: socket.socket, content: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(content)
        connection.recv(65_536)


def drip_handshake(listener: socket.socket, over: threading.Event) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 kB begins
        while not over.wait(DRIP):
            try:
                connection.sendall(b"\x02")
            except OSError:
                return
