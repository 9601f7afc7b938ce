"""Problems for what never reaches a DRF view: unknown addresses, and errors that Django itself answers.

Under `/v1` they are problem+json; elsewhere Django's own pages. `sendmsg.urls` names `handler400` to
`handler500`, and ends with `unknown_path`, because Django passes `handler404` over while DEBUG is on.
"""

import json

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from sendmsg.api.problems import MEDIA_TYPE, Problem, understood

_PREFIX = "/v1"


def problem_response(problem: Problem) -> HttpResponse:
    """A problem as a plain Django response, for code that is outside of DRF."""
    body = json.dumps(problem.document())
    return HttpResponse(body, MEDIA_TYPE, problem.status_code, headers=problem.headers)


def failure_response(exception: Exception) -> HttpResponse:
    """What a view of the API would have answered to this exception, for code that is outside of DRF."""
    return problem_response(understood(exception, None))


@csrf_exempt
def unknown_path(request: HttpRequest, *parts: str) -> HttpResponse:
    """Route `^v1(/|$)` here, after every real route."""
    return problem_response(Problem("not_found"))


def handler400(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """A request that Django refused, such as one for a host that we are not."""
    return _answer(request, "request_invalid") or defaults.bad_request(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """A request that a Django view forbade."""
    return _answer(request, "forbidden") or defaults.permission_denied(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """No route, or a Django view found nothing."""
    return _answer(request, "not_found") or defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponseBase:
    """An exception outside of DRF's views, such as in a middleware."""
    return _answer(request, "internal_error") or defaults.server_error(request)


def _answer(request: HttpRequest, code: str) -> HttpResponse | None:
    inside = request.path == _PREFIX or request.path.startswith(_PREFIX + "/")
    return problem_response(Problem(code)) if inside else None
