"""Stands before the site: webhooks and plain messages take a short way in, everything else goes on to it.

Providers post thousands of receipts a second when a broadcast is delivered. What serves people (static files, sessions,
log-in, forms, compression) and Django's signals around a request would be half of what one costs, and change nothing
about it. What stays: the request's id, its measure, TLS, bodies in chunks, and the refusal of a `Host` that is not
ours. The site knows the same addresses and answers the same: it serves whatever does not come through this door.

A message that is right in every respect is accepted here too (`dispatch.express`); any other is passed on to the site
as if nobody had looked at it.
"""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, ResolverMatch, resolve

from dispatch import directory, express
from sendmsg.api.fallbacks import failure_response
from sendmsg.api.parsing import ChunkedBodyMiddleware
from sendmsg.api.request_id import RequestIdMiddleware
from sendmsg.errors import PassedOn
from sendmsg.telemetry.middleware import MetricsMiddleware
from sendmsg.telemetry.trace_middleware import TraceMiddleware

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Answering = Callable[[HttpRequest], HttpResponse]

PREFIX = "/webhooks/"
REMEMBERED = 1000  # addresses; each connection has one or two, the rest is somebody's guessing
INHERITED = frozenset(os.environ)
"""granian puts the process's environment into a request's, as PEP 3333 allows. Secrets have no business there, and an
`HTTP_PROXY` of the host is no header."""
# The outermost last. Each passes on what the next one answers, which Django's types don't say.
MIDDLEWARE: tuple[Callable[[Any], Any], ...] = (
    ChunkedBodyMiddleware,
    SecurityMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
)
EXPRESS_MIDDLEWARE: tuple[Callable[[Any], Any], ...] = (
    SecurityMiddleware,
    TraceMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
)


class Door:
    def __init__(self, site: Application) -> None:
        self._site = site
        self._answer = _guarded(_answer)
        for middleware in MIDDLEWARE:
            self._answer = _guarded(middleware(self._answer))
        self._express: Answering = _express  # which lets `PassedOn` through, as `_guarded` would not
        for middleware in EXPRESS_MIDDLEWARE:
            self._express = middleware(self._express)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for name in INHERITED:
            environ.pop(name, None)
        path = environ["PATH_INFO"]
        if path == express.PATH and environ["REQUEST_METHOD"] == "POST":
            return self._accept(environ, start_response)
        if not path.startswith(PREFIX):
            return self._site(environ, start_response)
        request = WSGIRequest(environ)
        match = _match(request.path_info)
        if match is None:
            return self._site(environ, start_response)
        if directory.is_due():  # the one thing here that asks the database
            close_old_connections()
        request.resolver_match = match
        return _told(self._answer(request), start_response)

    def _accept(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = WSGIRequest(environ)
        request.resolver_match = _match(request.path_info)
        try:
            answer = self._express(request)
        except PassedOn:
            return self._site(environ, start_response)
        return _told(answer, start_response)


def _told(answer: HttpResponse, start_response: Callable[..., Any]) -> Iterable[bytes]:
    answer["Content-Length"] = str(len(answer.content))
    start_response(f"{answer.status_code} {answer.reason_phrase}", list(answer.items()))
    return [answer.content]


def _express(request: HttpRequest) -> HttpResponse:
    try:
        return express.answer(cast(WSGIRequest, request))
    except PassedOn:
        raise
    except Exception as error:  # as in a view of the API
        return failure_response(error)


def _guarded(answering: Answering) -> Answering:
    """What it raises is answered with 4xx or 500, as Django does around each of its middlewares."""
    return cast(Answering, convert_exception_to_response(answering))


def _answer(request: HttpRequest) -> HttpResponse:
    request.get_host()  # raises `DisallowedHost`, which is answered with 400
    match = cast(ResolverMatch, request.resolver_match)  # which the door has set
    answer: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return answer


@lru_cache(REMEMBERED)
def _match(path: str) -> ResolverMatch | None:
    try:
        return resolve(path)
    except Resolver404:
        return None
