"""A client's program that takes callbacks, in a process of its own: it answers 200 after a while, and counts."""

import asyncio
from multiprocessing.sharedctypes import Synchronized

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from tests.bench.apart import CONTEXT, Apart


class Receiver(Apart):
    """`takes`: seconds to answer."""

    def __init__(self, takes: float) -> None:
        self._count: Synchronized[int] = CONTEXT.Value("l", 0)
        super().__init__(_serve, takes, self._count)

    def count(self) -> int:
        """Callbacks that came."""
        return int(self._count.value)


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
