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

import http.client
import json as jsonlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Self

import requests
import urllib3

from sendmsg import __version__
from sendmsg.errors import MalformedAnswer
from sendmsg.transport import Adapter, Exchange, Limits, current

USER_AGENT: Final = f"SendMSG/{__version__}"
MAX_RESPONSE_BYTES: Final = 1_048_576  # a batch of 1,000 results is about 200 kB
MAX_RETRY_AFTER: Final = 3_600.0  # seconds; who asks for longer is asked again in an hour
MAX_HOSTS: Final = 10  # pools kept by one client; a connection has one host, two with a separate status API

_SECONDS: Final = re.compile(r"[0-9]{1,300}")


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

    def __init__(self, limits: Limits, trust_env: bool, max_hosts: int = MAX_HOSTS) -> None:
        self._limits = limits
        self._trust_env = trust_env
        self._max_hosts = max_hosts
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
        exchange = Exchange(self._limits, total_timeout)
        token = current.set(exchange)
        try:
            return self._call(exchange, method, url, head, body)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            failure = exchange.failure(error)
        finally:
            current.reset(token)
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
        adapter = Adapter(
            self._max_hosts, self._limits.connections, max_retries=urllib3.Retry(total=False), pool_block=True
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def _call(
        self, exchange: Exchange, method: str, url: str, headers: Mapping[str, str], body: bytes | None
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

    def _read(self, exchange: Exchange, raw: urllib3.HTTPResponse) -> bytes:
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
    max_hosts: int = MAX_HOSTS,
    permits: Callable[[str], bool] | None = None,
) -> HttpClient:
    """A client. `pool_size`: the most connections to one host; a call beyond that waits for one until its deadline.

    `trust_env`: use HTTP_PROXY and its kin, REQUESTS_CA_BUNDLE and so on. `max_hosts`: with connections kept.
    `permits`: asked with each IP address just before it is connected to; it excludes `trust_env`, because a proxy looks
    names up by itself. Raises ValueError for a bound that is none.
    """
    bounds = (connect_timeout, read_timeout, total_timeout, pool_size, max_response_bytes)
    if not all(0 < bound < float("inf") for bound in bounds):
        raise ValueError("Timeouts, pool size and response size need to be finite and above zero.")
    if trust_env and permits is not None:
        raise ValueError("A proxy would connect to addresses that nobody checked.")
    return HttpClient(Limits(*bounds, permits), trust_env, max_hosts)


@lru_cache(maxsize=256)  # almost all calls of a process go to a few URLs
def _prepared_url(url: str) -> str | None:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url


def _http_date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
