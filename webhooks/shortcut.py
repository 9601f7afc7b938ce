"""Takes webhooks past the middlewares that serve people: static files, sessions, log-in, forms, messages.

They are a quarter of what a webhook costs, and change nothing about it. What stays: the request's id, its measure, TLS,
bodies in chunks, and the refusal of a `Host` that is not ours.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, resolve

PREFIX = "/webhooks/"


class ShortcutMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        try:
            match = resolve(request.path_info)
        except Resolver404:
            return self.get_response(request)
        request.get_host()  # raises `DisallowedHost`, which Django answers with 400
        request.resolver_match = match
        answer: HttpResponse = match.func(request, *match.args, **match.kwargs)
        answer["Content-Length"] = str(len(answer.content))  # or it is sent in chunks
        return answer
