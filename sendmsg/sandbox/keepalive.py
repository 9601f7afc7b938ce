"""One keep-alive HTTP connection that posts, for the sandbox provider's receipts.

Tornado's own client opens a connection a request, which costs more than the receipt. Only what a receipt
needs is here: POST, a status back, no redirects, no body kept. Connections are reused when the other side
allows it.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

# Visible ASCII only: nothing in a URL can add a line to the request head.
_URL = re.compile(r"[\x21-\x7e]{1,2048}")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n")
# The other side closes, or the end of the body is not where a length would say.
_LAST = re.compile(rb"\r\n(connection:[ \t]*close|transfer-encoding:)")
# Bytes of an answer's body that are worth reading to keep the connection.
_SMALL = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `origin` (host, port, TLS) decides whether an open connection can be used."""

    origin: tuple[str, int, bool]
    authority: str
    path: str


@lru_cache(maxsize=256)
def target(url: str) -> Target:
    """Takes an http(s) URL apart; ValueError when it is none, or carries a user name."""
    if not _URL.fullmatch(url):
        raise ValueError("expected visible ASCII, at most 2048 characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("expected http(s)://host/path")
    tls = parts.scheme == "https"
    port = parts.port if parts.port is not None else (443 if tls else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target((parts.hostname, port, tls), parts.netloc, path)


class Connection:
    """At most one open connection, to the origin that was posted to last. Not for two posts at a time."""

    def __init__(self) -> None:
        self._origin: tuple[str, int, bool] | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def post(self, url: str, headers: dict[str, str], body: bytes, timeout: float) -> int:
        """The status of the answer; OSError (TimeoutError is one) when none came in `timeout` seconds."""
        to = target(url)
        lines = [f"POST {to.path} HTTP/1.1", f"Host: {to.authority}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
        try:
            async with asyncio.timeout(timeout):
                if self._origin == to.origin:
                    try:
                        return await self._exchange(request)
                    except (ConnectionError, asyncio.IncompleteReadError):
                        self.close()  # the other side closed it while it was idle
                await self._open(to.origin)
                return await self._exchange(request)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            self.close()
            raise ConnectionError("no HTTP answer") from error
        except BaseException:
            self.close()  # half an exchange: what comes next on it would be taken for another answer
            raise

    def close(self) -> None:
        if self._origin is not None:
            self._origin = None
            self._writer.close()

    async def _open(self, origin: tuple[str, int, bool]) -> None:
        self.close()
        host, port, tls = origin
        self._reader, self._writer = await asyncio.open_connection(host, port, ssl=tls or None)
        self._origin = origin

    async def _exchange(self, request: bytes) -> int:
        self._writer.write(request)
        status = 100
        while status < 200:  # interim answers are skipped
            head = await self._reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
        head = head.lower()
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0 if status == 204 else None
        if size is None or size > _SMALL or _LAST.search(head) or not head.startswith(b"http/1.1"):
            self.close()
        else:
            await self._reader.readexactly(size)
        return status
