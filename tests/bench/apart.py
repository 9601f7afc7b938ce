"""A server of the bench in a process of its own, which must not share Python's lock with what measures."""

import multiprocessing
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import requests

from tests.stack.processes import free_port
from tests.waiting import eventually

CONTEXT = multiprocessing.get_context("spawn")


class Apart:
    """Runs `serve(port, *values)` between enter and exit."""

    def __init__(self, serve: Callable[..., None], *values: Any) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = CONTEXT.Process(target=serve, args=(port, *values), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        eventually(self._listens, "the server of the bench listens", 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join(10)

    def _listens(self) -> bool:
        try:
            return bool(requests.get(self.url, timeout=5).status_code)
        except requests.RequestException:
            return False
