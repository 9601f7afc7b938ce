"""Each API call is a span, below the one that its `traceparent` names."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from sendmsg.api.request_id import current_request_id
from sendmsg.telemetry import traces
from sendmsg.telemetry.spans import Data
from sendmsg.telemetry.traceparent import HEADER

PREFIX: Final = "/v1/"
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})  # any other is text that a client made up


class TraceMiddleware:
    """After RequestIdMiddleware, whose id the span has."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        response = HttpResponse(status=500)

        def describe() -> tuple[str, Data, str]:
            """By its route, and never by its path, which holds ids."""
            match = request.resolver_match
            route = f"/{match.route}" if match else ""
            method = request.method if request.method in METHODS else "_OTHER"
            data: Data = {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": response.status_code,
                "request_id": current_request_id(),
            }
            failed = f"http_{response.status_code}" if response.status_code >= 500 else ""
            return f"{method} {route}".rstrip(), data, failed

        with traces.request(request.headers.get(HEADER, ""), describe):
            response = self.get_response(request)
        return response
