"""The one way this project calls other people's servers: keep-alive, and a bound on all that they could make us spend.

- Time: `connect_timeout` covers name, TCP and TLS together, and all addresses of a host; `read_timeout` each silence;
  `total_timeout` the whole exchange, down to an answer that drips in byte by byte. All are mandatory, in seconds. Only
  the system's resolver is not cut short: what it overruns is found out before anything is sent.
- Space: an answer over `max_response_bytes` is refused while it is read, compressed ones by their expanded size.
- Trust: TLS is verified, redirects are answers and not followed, cookies and environment (proxies, .netrc) are ignored.
- Truth: a failure is `NotSent` if no byte of the request had been written, and `OutcomeUnknown` otherwise. That is not
  guessed from exception types but noted by the connection itself. Nothing is ever sent twice: there are no retries.

Errors hold a code and a duration: no URL, header or body, and no chained exception that holds them.
"""

import contextlib
import http.client
import io
import json as jsonlib
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from sendmsg import __version__
from sendmsg.errors import CallFailed, MalformedAnswer, NotSent, OutcomeUnknown

USER_AGENT: Final = f"SendMSG/{__version__}"
MAX_RESPONSE_BYTES: Final = 1_048_576  # a batch of 1,000 results is about 200 kB
MAX_IDLE_SECONDS: Final = 20.0  # shorter than firewalls and load balancers keep an idle connection
MAX_RETRY_AFTER: Final = 3_600.0  # seconds; who asks for longer is asked again in an hour
MAX_HOSTS: Final = 10  # pools kept by one client; a connection has one host, two with a separate status API

_SECONDS: Final = re.compile(r"[0-9]{1,300}")

# urllib3 writes URLs and malformed answers to its log.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_NOT_SENT: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (urllib3.exceptions.EmptyPoolError, "pool_exhausted"),
    (urllib3.exceptions.ClosedPoolError, "client_closed"),
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


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that arrived whole. Header names are found in any case; `elapsed` in seconds."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    elapsed: float

    def json(self) -> Any:
        """The body as JSON; raises `MalformedAnswer` for anything that is none, NaN and endless nesting included."""
        try:
            return jsonlib.loads(self.body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass
        raise MalformedAnswer(f"HTTP {self.status} with a body that is no JSON")

    def retry_after(self) -> float | None:
        """Seconds to wait, from `Retry-After` in either form, 0 to `MAX_RETRY_AFTER`; None without a readable one.

        A date is measured against the answer's own `Date`, so that the two clocks needn't agree.
        """
        value = self.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(value):
            return min(float(value), MAX_RETRY_AFTER)
        moment = _http_date(value)
        if moment is None:
            return None
        now = _http_date(self.headers.get("Date", "")) or time.time()
        return min(max(moment - now, 0.0), MAX_RETRY_AFTER)


class HttpClient:
    """Made by `build_session`. Threads may share one; a forked child opens its own sockets."""

    def __init__(self, limits: "_Limits", trust_env: bool) -> None:
        self._limits = limits
        self._trust_env = trust_env
        self._open()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: object = None,
        total_timeout: float | None = None,
    ) -> Response:
        """One request, and its answer whatever the status. `json` is encoded as the body, with its content type.

        Raises `NotSent` or `OutcomeUnknown`. A `total_timeout` can only shorten the client's own.
        """
        head = {"User-Agent": USER_AGENT, **(headers or {})}
        if json is not None:
            body = jsonlib.dumps(json, allow_nan=False, separators=(",", ":")).encode()
            head.setdefault("Content-Type", "application/json")
        exchange = _Exchange(self._limits, total_timeout)
        token = _current.set(exchange)
        try:
            return self._call(exchange, method, url, head, body)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            failure = exchange.failure(error)
        finally:
            _current.reset(token)
        raise failure  # outside of `except`, so that no traceback shows what the libraries say of URLs and headers

    def close(self) -> None:
        """Closes the idle sockets; those in use follow when their exchange ends."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._session = requests.Session()
        self._session.trust_env = self._trust_env
        adapter = _Adapter(MAX_HOSTS, self._limits.connections, max_retries=urllib3.Retry(total=False), pool_block=True)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def _call(
        self, exchange: "_Exchange", method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        if os.getpid() != self._pid:  # two processes on one socket would read each other's answers
            self._open()
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = method, _prepared_url(url), body
        prepared.prepare_headers(headers)
        prepared.prepare_content_length(body)
        settings: dict[str, Any] = {"verify": True}
        if self._session.trust_env:
            settings = dict(self._session.merge_environment_settings(url, {}, True, True, None))
        # Not `Session.send`: it reads the whole body of a redirect, at any length, and keeps cookies.
        adapter: Any = self._session.get_adapter(url)
        raw: urllib3.HTTPResponse = adapter.send(prepared, **settings)
        exchange.status = raw.status
        try:
            content = self._read(exchange, raw)
        except BaseException:
            raw.close()
            raw.release_conn()
            raise
        return Response(raw.status, raw.headers, content, exchange.elapsed())

    def _read(self, exchange: "_Exchange", raw: urllib3.HTTPResponse) -> bytes:
        if raw.status < 200:  # the real answer is still to come, and must not be taken for the next request's
            raise exchange.unknown("bad_protocol")
        content = bytearray()
        limit = self._limits.response_bytes
        while chunk := raw.read(limit + 1 - len(content), decode_content=True):
            content += chunk
            if len(content) > limit:
                raise exchange.unknown("oversized")
        return bytes(content)


def build_session(
    *,
    connect_timeout: float,
    read_timeout: float,
    total_timeout: float,
    pool_size: int,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
    trust_env: bool = False,
) -> HttpClient:
    """A client. `pool_size`: the most connections to one host; a call beyond that waits for one until its deadline.

    `trust_env`: use HTTP_PROXY and its kin, REQUESTS_CA_BUNDLE and so on. Raises ValueError for a bound that is none.
    """
    limits = _Limits(connect_timeout, read_timeout, total_timeout, pool_size, max_response_bytes)
    if not all(0 < limit < float("inf") for limit in limits):
        raise ValueError("Timeouts, pool size and response size need to be finite and above zero.")
    return HttpClient(limits, trust_env)


class _Limits(NamedTuple):
    connect: float  # seconds
    silence: float  # seconds
    total: float  # seconds
    connections: int
    response_bytes: int


class _Exchange:
    """The clocks of one request, and the fact that decides what its failure means: had it begun to leave?"""

    __slots__ = ("began", "deadline", "limits", "sent", "status")

    def __init__(self, limits: _Limits, total_timeout: float | None) -> None:
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


_current: ContextVar[_Exchange] = ContextVar("_current")


class _Connection(HTTPConnection):
    """Takes its time limits from the exchange it serves, at every single system call."""

    exchange: _Exchange
    idle_since = 0.0
    _outgoing: list[bytes] | None = None

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self.idle_since < MAX_IDLE_SECONDS and super().is_connected

    def _new_conn(self) -> socket.socket:
        """Tries the host's addresses in turn; each gets an even share of the time that is left."""
        exchange = self.exchange
        connect_by = time.monotonic() + exchange.limits.connect
        found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, 0, socket.SOCK_STREAM)
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

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: _Exchange) -> None:
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
        exchange = _current.get()
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


class _Adapter(HTTPAdapter):
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


@lru_cache(maxsize=256)  # almost all calls of a process go to a few URLs
def _prepared_url(url: str) -> str | None:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url


def _code(error: BaseException, table: tuple[tuple[type[BaseException], str], ...]) -> str:
    causes = tuple(_causes(error))
    return next((code for kind, code in table if any(isinstance(cause, kind) for cause in causes)), "call_failed")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """From the wrappers that requests and urllib3 put around an error to the one that happened."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _http_date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
