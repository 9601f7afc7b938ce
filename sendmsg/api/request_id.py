"""The id of the request being served: from `X-Request-ID` or made here, in every answer and every log line.

A client's own id is kept only when it is harmless in a log and a header; any other is replaced, never
refused.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Asked for every message of a broadcast; the log's own context would be copied whole to look into it.
_current: ContextVar[str] = ContextVar("current_request_id", default="")


def current_request_id() -> str:
    """The id of the request that this thread serves; empty outside of one."""
    return _current.get()


class RequestIdMiddleware:
    """Goes first in MIDDLEWARE, so that the other middlewares' answers carry the id too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        request_id = given if _SANE.fullmatch(given) else uuid7().hex
        # Not reset afterwards: Django logs 4xx and 5xx answers after the last middleware has returned.
        _current.set(request_id)
        bind_contextvars(request_id=request_id)  # for the log
        response = self.get_response(request)
        response[HEADER] = request_id
        return response
