"""Errors as RFC 9457 `application/problem+json`: one shape for everything that goes wrong.

    {"type": "urn:sendmsg:problem:validation_failed", "title": …, "status": 400, "detail": …,
     "instance": "urn:sendmsg:request:<id>", "code": "validation_failed", "request_id": "<id>",
     "errors": [{"pointer": "/to", "code": "required", "detail": …}]}

A pointer is an RFC 6901 JSON pointer into the body, or into the query parameters taken as an object. Raise
`Problem` to answer with one of `sendmsg.api.codes`; `exception_handler` turns every other exception into one
as well. What an unexpected exception says may quote the request, so neither the answer nor the log repeats
it: both name the request id.
"""

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

from sendmsg.api.codes import KINDS
from sendmsg.api.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 50  # entries of `errors`; a body of 64 kB could hold ten thousand mistakes
DATABASE_RETRY_AFTER = 2  # seconds; long enough not to add to an overload
_CHALLENGE = 'Bearer realm="SendMSG"'

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake at one place of the request."""

    pointer: str
    code: str
    detail: str


class Problem(exceptions.APIException):
    """Answers the request with a problem. `code` is a key of `KINDS`; the detail holds nothing internal."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        kind = KINDS[code]
        super().__init__(detail or kind.meaning, code)
        self.code = code
        self.status_code = kind.status
        self.errors = tuple(errors[:MAX_ERRORS])
        self.headers = dict(headers or {})
        if kind.status == 401:
            error = "" if code == "key_missing" else ', error="invalid_token"'
            self.headers.setdefault("WWW-Authenticate", _CHALLENGE + error)

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The body of the answer, by default for the request being served."""
        if request_id is None:
            request_id = current_request_id()
        return {
            "type": f"urn:sendmsg:problem:{self.code}",
            "title": KINDS[self.code].title,
            "status": self.status_code,
            "detail": str(self.detail),
            "instance": f"urn:sendmsg:request:{request_id}",
            "code": self.code,
            "request_id": request_id,
            "errors": [asdict(error) for error in self.errors],
        }


def pointer(*parts: str | int) -> str:
    """The RFC 6901 pointer to what lies under `parts`; without any, to the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def exception_handler(exception: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: any exception of a view in, a problem out."""
    from rest_framework.views import set_rollback  # noqa: PLC0415  loads our authentication, which loads this

    problem = understood(exception, getattr(context.get("request"), "_request", None))
    set_rollback()
    return Response(problem.document(), problem.status_code, headers=problem.headers, content_type=MEDIA_TYPE)


def understood(exception: Exception, request: HttpRequest | None) -> Problem:
    """The problem that `exception` is to a client; one that nobody expected is reported."""
    problem = to_problem(exception)
    if problem.code == "internal_error":
        _report(exception, request)
    return problem


_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (Http404, "not_found"),
    (exceptions.NotFound, "not_found"),
    (exceptions.NotAuthenticated, "key_missing"),
    (exceptions.AuthenticationFailed, "key_unknown"),
    (PermissionDenied, "forbidden"),
    (exceptions.PermissionDenied, "forbidden"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.NotAcceptable, "not_acceptable"),
    (exceptions.UnsupportedMediaType, "media_type_unsupported"),
    (exceptions.ParseError, "json_invalid"),
    (RequestDataTooBig, "body_too_large"),
    (SuspiciousOperation, "request_invalid"),
    (BadRequest, "request_invalid"),
    (UnreadablePostError, "request_invalid"),
)


def to_problem(exception: Exception) -> Problem:
    """The problem that says what `exception` means to a client; `internal_error` when it was not expected."""
    if isinstance(exception, Problem):
        return exception
    if isinstance(exception, exceptions.ValidationError | ValidationError):
        return Problem("validation_failed", errors=list(_field_errors(exception)))
    if isinstance(exception, exceptions.Throttled):
        seconds = math.ceil(getattr(exception, "wait", None) or 1)
        return Problem("throttled", headers={"Retry-After": str(seconds)})
    # Down, out of connections, deadlock, timeout: whatever it is, it passes.
    if isinstance(exception, OperationalError | InterfaceError):
        logger.warning("database failed a request", error=_innermost(exception))
        return Problem("database_unavailable", headers={"Retry-After": str(DATABASE_RETRY_AFTER)})
    for kind, code in _CODES:
        if isinstance(exception, kind):
            return Problem(code)
    return Problem("internal_error")


def _field_errors(error: exceptions.ValidationError | ValidationError) -> Iterator[FieldError]:
    if isinstance(error, exceptions.ValidationError):
        return _flatten(error.detail, ())
    return _flatten(exceptions.ValidationError(_core_details(error)).detail, ())


def _core_details(error: ValidationError) -> Any:
    """Django's own ValidationError as DRF would have said it."""
    if not hasattr(error, "error_dict"):
        return [_core_detail(one) for one in error.error_list]
    return {
        api_settings.NON_FIELD_ERRORS_KEY if name == NON_FIELD_ERRORS else name: [_core_detail(one) for one in errors]
        for name, errors in error.error_dict.items()
    }


def _core_detail(error: ValidationError) -> exceptions.ErrorDetail:
    return exceptions.ErrorDetail(" ".join(error.messages), error.code or "invalid")


def _flatten(detail: Any, path: tuple[str | int, ...]) -> Iterator[FieldError]:
    """Nested DRF details as one list. Errors of a whole object point to the object."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flatten(value, path if key == api_settings.NON_FIELD_ERRORS_KEY else (*path, key))
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            yield from _flatten(value, path if isinstance(value, str) else (*path, index))
    else:
        yield FieldError(pointer(*path), str(getattr(detail, "code", "invalid")), str(detail))


def _innermost(exception: BaseException) -> str:
    """The name of the driver's own exception, such as `DeadlockDetected`."""
    return type(exception.__cause__ or exception).__name__


def _report(exception: BaseException, request: HttpRequest | None) -> None:
    """Log where an unexpected exception came from, without what it says, and tell Django's listeners."""
    lines: list[str] = []
    cause: BaseException | None = exception
    while cause is not None:
        lines += [f"{type(cause).__qualname__}\n", *traceback.format_tb(cause.__traceback__)]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    logger.error("unexpected error in a request", error=type(exception).__qualname__, exception="".join(lines))
    got_request_exception.send(sender=exception_handler, request=request)
