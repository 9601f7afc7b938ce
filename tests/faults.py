"""A server on a raw socket that misbehaves on purpose: each request is answered by the next function of a script.

    with FaultServer(answer(202, b"{}")) as server:
        client.request("GET", server.url)
        assert server.connections == 1

The last function of a script answers all requests that follow. A function gets the open socket, and says by its result
whether the connection stays open. Waits end when the server does, so no test waits for a fault to play to its end.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_PATIENCE = 30.0  # seconds; longer than any test


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. Header names are lower case. `connection` counts from 0."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Wire:
    """What a fault may use: the socket, the request that it answers, and an event that ends its waits."""

    socket: socket.socket
    request: Received
    ending: threading.Event


Fault = Callable[[Wire], bool]


class FaultServer:
    """Serves on the loopback until closed. `tls`: a server-side context."""

    def __init__(self, *script: Fault, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self._script = list(script) or [answer(200)]
        self._tls = tls
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.1)  # seconds; not everywhere does closing wake who accepts
        port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{port}"
        self._start(self._accept)

    def play(self, *script: Fault) -> None:
        """Replaces what is left of the script."""
        with self._lock:
            self._script = list(script)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        _shut(self._listener)
        with self._lock:
            open_sockets = list(self._sockets)
        for one in open_sockets:
            _shut(one)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._lock:
                self._sockets.add(connection)
                number = self.connections
                self.connections += 1
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        current = connection
        try:
            connection.settimeout(_PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                current = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._sockets.add(current)
            with current.makefile("rb") as reader:
                while (request := _read_request(reader, number)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        fault = self._script.pop(0) if len(self._script) > 1 else self._script[0]
                    if not fault(Wire(current, request, self._ending)):
                        break
        except (OSError, ValueError):
            pass  # the client went away or speaks something else, which some tests are about
        finally:
            _shut(current)
            with self._lock:
                self._sockets -= {connection, current}


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, close: bool = False) -> Fault:
    """A proper answer."""

    def fault(wire: Wire) -> bool:
        wire.socket.sendall(_head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)
        return not close

    return fault


def json_answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> Fault:
    return answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def html(status: int) -> Fault:
    return answer(status, b"<html><body>A page of a proxy.</body></html>", {"Content-Type": "text/html"})


def sent(*parts: bytes, close: bool = False) -> Fault:
    """Exactly these bytes."""

    def fault(wire: Wire) -> bool:
        for part in parts:
            wire.socket.sendall(part)
        return not close

    return fault


def chunked(status: int, *chunks: bytes) -> Fault:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return sent(_head(status, {"Transfer-Encoding": "chunked"}) + framed + b"0\r\n\r\n")


def truncated(status: int, body: bytes, missing: int = 10) -> Fault:
    """Promises more than it sends, then closes."""
    return sent(_head(status, {"Content-Length": str(len(body) + missing)}) + body, close=True)


def huge(status: int, size: int, framing: str) -> Fault:
    """`size` bytes, framed by `length`, `chunked`, or `close` (no length at all)."""

    def fault(wire: Wire) -> bool:
        headers = {
            "length": {"Content-Length": str(size)},
            "chunked": {"Transfer-Encoding": "chunked"},
            "close": {},
        }
        wire.socket.sendall(_head(status, headers[framing]))
        block = b" " * 65_536
        for _ in range(size // len(block)):
            if wire.ending.is_set():
                break
            wire.socket.sendall(b"%x\r\n%b\r\n" % (len(block), block) if framing == "chunked" else block)
        return False

    return fault


def drip_head(status: int, interval: float) -> Fault:
    """Header lines without end, one byte each `interval` seconds."""
    return _drip(f"HTTP/1.1 {status} Slow\r\n".encode(), interval)


def drip_body(status: int, interval: float) -> Fault:
    """A body of one byte each `interval` seconds."""
    return _drip(_head(status, {"Content-Length": "1000000"}), interval)


def hang(wire: Wire) -> bool:
    """Says nothing."""
    wire.ending.wait(_PATIENCE)
    return False


def close_without_answer(wire: Wire) -> bool:
    return False


def reset(wire: Wire) -> bool:
    """Ends the connection by RST in place of FIN."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()
    return False


def refused_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def _drip(head: bytes, interval: float) -> Fault:
    def fault(wire: Wire) -> bool:
        wire.socket.sendall(head)
        while not wire.ending.wait(interval):
            wire.socket.sendall(b"x")
        return False

    return fault


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _read_request(reader: Any, connection: int) -> Received | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, path, _ = line.split(" ", 2)
    headers = {}
    while (line := reader.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body, connection)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
