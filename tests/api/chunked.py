"""Chunked bodies as a server hands them to WSGI."""

import json
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from typing import Any

from django.core.handlers.wsgi import WSGIHandler


class Chunks(RawIOBase):
    """What a server that decodes chunks gives to WSGI: a stream that ends, and no length."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.left = b""
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.left = self.left or next(self.chunks, b"")
        answer, self.left = self.left[:size], self.left[size:]
        self.given += len(answer)
        return answer


def post_in_chunks(body: Any, **environ: Any) -> tuple[int, dict[str, Any]]:
    """Call the WSGI application with a chunked body, as granian would."""
    full = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/echo",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "HTTP_HOST": "testserver",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "wsgi.errors": BytesIO(),
        **environ,
    }
    statuses: list[str] = []

    def start_response(status: str, headers: Any, *_: Any) -> Any:
        statuses.append(status)

    response: Any = WSGIHandler()(full, start_response)
    document = json.loads(b"".join(response))
    return int(statuses[0].split()[0]), document
