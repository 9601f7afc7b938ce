"""What a browser may do on pages of the admin: run our scripts, show our pictures, send forms to us, and nothing else.

So that text that got into a page as markup by a mistake of ours still runs nothing.
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

PREFIX: Final = "/admin/"
POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class ContentPolicyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if request.path.startswith(PREFIX):
            response.headers["Content-Security-Policy"] = POLICY
        return response
