"""The sockets under `sendmsg.http`: every system call keeps to the limits of the exchange that it serves.

urllib3 takes a limit per operation, so an answer that drips in byte by byte never ends, and its exceptions don't tell
whether the request had begun to leave. Here each connection asks its `Exchange` how long it may wait, before each wait,
and notes the first byte that it writes: that fact alone decides between `NotSent` and `OutcomeUnknown`.
"""

import contextlib
import http.client
import io
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from sendmsg.errors import CallFailed, NotSent, OutcomeUnknown

MAX_IDLE_SECONDS: Final = 20.0  # shorter than firewalls and load balancers keep an idle connection

# urllib3 writes URLs and malformed answers to its log. By the names that it writes under: other libraries set a level
# of their own for all of urllib3.
for _name in ("urllib3", "urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class AddressRefused(OSError):
    """Every address of the host is one that this client must not connect to."""


_NOT_SENT: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (urllib3.exceptions.EmptyPoolError, "pool_exhausted"),
    (urllib3.exceptions.ClosedPoolError, "client_closed"),
    (AddressRefused, "address_refused"),
    (socket.gaierror, "dns_failure"),
    (ssl.SSLError, "tls_failure"),
    (urllib3.exceptions.SSLError, "tls_failure"),
    (TimeoutError, "connect_timeout"),
    (ConnectionRefusedError, "connection_refused"),
    (ValueError, "invalid_request"),
    (OSError, "unreachable"),
)
_UNKNOWN: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimeoutError, "timeout"),
    (http.client.RemoteDisconnected, "no_answer"),
    (ConnectionError, "connection_reset"),
    (http.client.IncompleteRead, "truncated"),
    (urllib3.exceptions.DecodeError, "bad_encoding"),
    (http.client.HTTPException, "bad_protocol"),
    (ssl.SSLError, "tls_failure"),
    (ValueError, "bad_protocol"),
    (OSError, "connection_lost"),
)
NOT_SENT_CODES: Final = frozenset({code for _, code in _NOT_SENT} | {"deadline_before_send", "call_failed"})


class Limits(NamedTuple):
    connect: float  # seconds
    silence: float  # seconds
    total: float  # seconds
    connections: int
    response_bytes: int
    permits: Callable[[str], bool] | None = None  # whether an IP address may be connected to; None: any


class Exchange:
    """The clocks of one request, and the fact that decides what its failure means: had it begun to leave?"""

    __slots__ = ("began", "deadline", "limits", "sent", "status")

    def __init__(self, limits: Limits, total_timeout: float | None) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + (limits.total if total_timeout is None else min(total_timeout, limits.total))
        self.limits = limits
        self.sent = False
        self.status: int | None = None

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def left(self, moment: float | None = None) -> float:
        """Seconds until `moment` or the deadline, whichever is first; `TimeoutError` if none are left."""
        left = min(moment or self.deadline, self.deadline) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def patience(self) -> float:
        return min(self.limits.silence, self.left())

    def failure(self, error: BaseException) -> CallFailed:
        late = time.monotonic() >= self.deadline
        if self.sent:
            code = _code(error, _UNKNOWN)
            return self.unknown("deadline" if late and code == "timeout" else code)
        code = _code(error, _NOT_SENT)
        code = "deadline_before_send" if late and code == "connect_timeout" else code
        return NotSent(f"nothing was sent, after {self.elapsed():.3f} s", code=code)

    def unknown(self, code: str) -> OutcomeUnknown:
        seen = "no answer" if self.status is None else f"HTTP {self.status} that can't be used"
        return OutcomeUnknown(f"{seen}, after {self.elapsed():.3f} s", code=code, status=self.status)


current: ContextVar[Exchange] = ContextVar("current")


class _Connection(HTTPConnection):
    """Takes its time limits from the exchange it serves, at every single system call."""

    exchange: Exchange
    idle_since = 0.0
    _outgoing: list[bytes] | None = None

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self.idle_since < MAX_IDLE_SECONDS and super().is_connected

    def _new_conn(self) -> socket.socket:
        """Tries the host's addresses in turn; each gets an even share of the time that is left.

        What is connected to is the very address that was checked: a name that changes in between changes nothing.
        """
        exchange = self.exchange
        connect_by = time.monotonic() + exchange.limits.connect
        found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, 0, socket.SOCK_STREAM)
        permits = exchange.limits.permits
        if permits is not None:
            found = [one for one in found if permits(str(one[4][0]))]
            if not found:
                raise AddressRefused
        for index, (family, kind, protocol, _, address) in enumerate(found, start=1):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(exchange.left(connect_by) / (len(found) - index + 1))
                sock.connect(address)
                sock.settimeout(exchange.left(connect_by))  # what remains is for the TLS handshake
                return sock
            except BaseException as error:
                sock.close()
                if index == len(found) or not isinstance(error, OSError):
                    raise
        raise OSError("no address")

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Collects head and body, then writes both at once: one packet for most requests."""
        self._outgoing = []
        try:
            super().request(*args, **kwargs)
            outgoing = b"".join(self._outgoing)
        finally:
            self._outgoing = None
        left = memoryview(outgoing)
        while left:
            self.sock.settimeout(self.exchange.patience())
            self.exchange.sent = True
            left = left[self.sock.send(left) :]

    def send(self, data: Any) -> None:
        if self._outgoing is None:  # what opens a tunnel through a proxy is no part of the request
            super().send(data)
        else:
            self._outgoing.append(data)

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        reader: io.BufferedReader = response.fp
        response.fp = io.BufferedReader(_Reader(reader.detach(), sock, self.exchange))
        return response


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Reader(io.RawIOBase):
    """A socket's bytes, none of them awaited beyond the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.patience())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = current.get()
        connection: Any = super()._get_conn(timeout=max(0.0, exchange.deadline - time.monotonic()))
        connection.exchange = exchange
        return connection

    def _validate_conn(self, conn: Any) -> None:
        """Connects here, also without TLS: urllib3 overlooks a reset that happens while it writes."""
        super()._validate_conn(conn)
        if conn.is_closed:
            conn.connect()

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        # urllib3 makes up a place when an exception (a task's time limit) ends the wait for one. It goes again at once,
        # but would spoil the answer that is just complete.
        with contextlib.suppress(urllib3.exceptions.FullPoolError):
            super()._put_conn(conn)


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Adapter(HTTPAdapter):
    def build_response(self, req: Any, resp: Any) -> Any:
        """urllib3's own response: to make one of requests' would parse cookies, and the client reads neither."""
        return resp

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


def _code(error: BaseException, table: tuple[tuple[type[BaseException], str], ...]) -> str:
    causes = tuple(_causes(error))
    return next((code for kind, code in table if any(isinstance(cause, kind) for cause in causes)), "call_failed")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """From the wrappers that requests and urllib3 put around an error to the one that happened."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
