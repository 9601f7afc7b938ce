"""Measures every request by its route, never by its path: paths hold ids."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from sendmsg.telemetry import metrics


class MetricsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        route = match.route if match and not match.route.startswith("^") else "other"
        method = request.method if request.method in ("GET", "POST", "PUT", "PATCH", "DELETE") else "OTHER"
        metrics.HTTP_SECONDS.labels(route, method, response.status_code).observe(time.perf_counter() - started)
        return response
