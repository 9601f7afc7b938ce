"""A client's program that takes callbacks, in a process of its own: it answers 200 after a while, and counts."""

import asyncio
import multiprocessing
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType
from typing import Self

import requests
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from tests.stack.processes import free_port
from tests.waiting import eventually

CONTEXT = multiprocessing.get_context("spawn")


class Receiver:
    """`takes`: seconds to answer."""

    def __init__(self, takes: float) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self._count: Synchronized[int] = CONTEXT.Value("l", 0)
        self._process = CONTEXT.Process(target=_serve, args=(port, takes, self._count), daemon=True)

    def count(self) -> int:
        """Callbacks that came."""
        return int(self._count.value)

    def __enter__(self) -> Self:
        def listens() -> bool:
            try:
                return requests.get(self.url, timeout=5).status_code == 405
            except requests.RequestException:
                return False

        self._process.start()
        eventually(listens, "the receiver listens", 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join(10)


def _serve(port: int, takes: float, count: "Synchronized[int]") -> None:
    class Handler(RequestHandler):
        async def post(self) -> None:
            count.value += 1
            if takes:
                await asyncio.sleep(takes)
            self.set_status(200)

    async def main() -> None:
        HTTPServer(Application([(r"/.*", Handler)], log_function=lambda handler: None)).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())
