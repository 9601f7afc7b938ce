"""Posts requests over kept connections from one thread: at a rate, or as fast as they are answered.

At a rate the time of an answer counts from when its request was due, so that a slow answer can't hide the ones that
wait behind it; without one it counts from when it was sent.
"""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from urllib.parse import urlsplit

CLIENTS = 64  # kept connections
LOOK = 0.01  # seconds between two looks for room
PATIENCE = 120.0  # seconds for whatever is measured to end at all


@dataclass(slots=True)
class Client:
    """One kept connection with at most one request under way."""

    socket: socket.socket
    due_at: float = 0.0
    answer: bytearray = field(default_factory=bytearray)


class Load:
    """Posts each request when it is due, or as soon as a connection is free; notes the answers and their times."""

    def __init__(self, url: str, clients: int = CLIENTS) -> None:
        self._clients = clients
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._selector = selectors.DefaultSelector()
        self._free: deque[Client] = deque()
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def run(
        self,
        requests: Sequence[bytes],
        rate: float = inf,
        lasts: float = inf,
        room: Callable[[int], bool] = lambda sent: True,
    ) -> float:
        """The seconds that it took in all.

        `lasts`: seconds after which no more are sent. `room`: asked with how many were sent whether another may follow.
        """
        for _ in range(self._clients):
            self._connect()
        start, sent = time.monotonic(), 0
        give_up_at = start + min(len(requests) / rate, lasts) + PATIENCE
        while len(self.seconds) < len(requests) and time.monotonic() < give_up_at:
            if time.monotonic() - start > lasts:
                requests = requests[:sent]
            while sent < len(requests) and self._free and (due := start + sent / rate) <= time.monotonic():
                if not room(sent):
                    break
                client = self._free.popleft()
                client.due_at = due if rate < inf else time.monotonic()
                client.socket.sendall(requests[sent])
                sent += 1
            wait = start + sent / rate - time.monotonic() if self._free and sent < len(requests) else 0.1
            if self._free and sent < len(requests) and not room(sent):
                wait = LOOK
            for key, _ in self._selector.select(max(0.0, wait)):
                self._hear(key.data)
        took = time.monotonic() - start
        while self._free:
            self._close(self._free.pop())
        return took

    def _connect(self) -> None:
        client = Client(socket.create_connection(self._address, timeout=PATIENCE))
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        self._free.append(client)

    def _hear(self, client: Client) -> None:
        received = client.socket.recv(65_536)
        client.answer += received
        head, separator, body = bytes(client.answer).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if received and not (separator and length and len(body) >= int(length)):
            return
        self.seconds.append(time.monotonic() - client.due_at)
        self.statuses[int(head.split(b" ")[1]) if received else 0] += 1
        client.answer.clear()
        if received and b"connection: close" not in head.lower():
            self._free.append(client)
            return
        self._close(client)
        self._connect()

    def _close(self, client: Client) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()
