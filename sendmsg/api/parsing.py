"""Strict JSON: what is accepted has one meaning, everywhere, and can be stored.

At most 64 kB of UTF-8 (more where a view says so), also once it is inflated, declared as application/json, an object at
the top, no key twice, numbers that exist, texts that Postgres can hold. Everything else is refused with a code of its
own; nothing is repaired or guessed.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from itertools import chain
from typing import IO, Any, ClassVar, NoReturn

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser

from sendmsg.api.fallbacks import problem_response
from sendmsg.api.problems import FieldError, Problem, pointer
from sendmsg.inflate import InflateError, inflate

MAX_BODY_BYTES = 65_536  # a message of ten parts with its metadata needs a tenth of it
MAX_DEPTH = 8  # our deepest request has two levels
_MAX_INTEGER_CHARACTERS = 20  # the digits and the sign of a 64-bit integer
_MEDIA_TYPE = "application/json"


class StrictJSONParser(BaseParser):
    """DRF parser. Raises `Problem` and nothing else. A view that needs more bytes takes a subclass."""

    media_type = _MEDIA_TYPE
    max_bytes: ClassVar[int] = MAX_BODY_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The body as a dict of plain JSON values."""
        request = (parser_context or {}).get("request")
        check_headers(media_type or "", self.media_type)
        encoding = "" if request is None else request.headers.get("Content-Encoding", "")
        try:
            return loads(inflate(read_bounded(stream, self.max_bytes), encoding, self.max_bytes))
        except InflateError as error:
            raise too_large(self.max_bytes) if error.code == "body_too_large" else Problem(error.code) from None


def loads(raw: bytes) -> dict[str, Any]:
    """Parse the bytes of a body."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("encoding_invalid") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded_integer,
        )
    except RecursionError:
        raise Problem("json_too_deep") from None
    except ValueError:
        raise Problem("json_invalid") from None
    if not isinstance(value, dict):
        raise Problem("json_not_object")
    _refuse_depth(value)
    # What can't be stored can only come as an escape: UTF-8 has no surrogates, and JSON no control characters. So a
    # list of a hundred thousand recipients is not walked through for nothing.
    if "\\u" in text and (errors := list(_text_errors(value))):
        raise Problem("text_invalid", errors=errors)
    return value


def read_bounded(stream: IO[Any], limit: int = MAX_BODY_BYTES) -> bytes:
    """All of the stream, counted while it is read: what a header claims about its length is not believed."""
    chunks: list[bytes] = []
    left = limit + 1
    while left and (chunk := stream.read(left)):
        chunks.append(chunk)
        left -= len(chunk)
    if not left:
        raise too_large(limit)
    return b"".join(chunks)


def too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"The body is larger than {limit // 1024} kB.")


class ChunkedBodyMiddleware:
    """Lets Django see a chunked body, which it takes for an empty one.

    Bounded by `MAX_BODY_BYTES`: browsers, and so the admin, never send chunks. Where a view's parsers take more, the
    body is left for them to read and to count, which they do after authentication. Behind a server that does not
    decode chunks (Django's development server), the client is asked for a length.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        if chunked and isinstance(request, WSGIRequest):
            if not request.environ.get("wsgi.input_terminated"):
                return problem_response(Problem("length_required"))
            if (limit := _limit_of(request.path_info)) > MAX_BODY_BYTES:
                request._stream = request.environ["wsgi.input"]
                request.META["CONTENT_LENGTH"] = str(limit)  # DRF only asks whether there is any
                return self.get_response(request)
            try:
                body = read_bounded(request.environ["wsgi.input"])
            except Problem as problem:
                return problem_response(problem)
            except OSError:  # what servers raise for a malformed or an unfinished chunk
                return problem_response(Problem("request_invalid"))
            request._stream = BytesIO(body)
            request.META["CONTENT_LENGTH"] = str(len(body))
        return self.get_response(request)


def _limit_of(path: str) -> int:
    """The bytes that the view at this address takes."""
    try:
        view = resolve(path).func
    except Resolver404:
        return MAX_BODY_BYTES
    parsers = getattr(getattr(view, "cls", None), "parser_classes", ())
    return max((getattr(parser, "max_bytes", 0) for parser in parsers), default=MAX_BODY_BYTES)


def check_headers(content_type: str, media_type: str) -> None:
    """What a body says of its type. Raises `Problem` unless it is that one, in UTF-8."""
    kind, parameters = parse_header_parameters(content_type)
    if kind.lower() != media_type:  # DRF lets a wildcard through
        raise Problem("media_type_unsupported")
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("charset_unsupported")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Problem("json_duplicate_key")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise Problem("json_number_invalid")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Problem("json_number_invalid")
    return number


def _bounded_integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_CHARACTERS:
        raise Problem("json_number_invalid")
    return int(digits)


def _refuse_depth(value: dict[str, Any]) -> None:
    """Level by level."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = chain.from_iterable(item.values() if isinstance(item, dict) else item for item in level)
        level = [item for item in inner if isinstance(item, (dict, list))]
        if not level:
            return
    raise Problem("json_too_deep")


def _text_errors(value: dict[str, Any]) -> Iterator[FieldError]:
    """Check every text, keys too; in a loop, because a client decides how deep it goes."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            for key in item:
                if mistake := _mistake(key):
                    yield FieldError(pointer(*path), *mistake)
            pending.extend(((*path, key), child) for key, child in item.items() if not _mistake(key))
        elif isinstance(item, list):
            pending.extend(((*path, index), child) for index, child in enumerate(item))
        elif isinstance(item, str) and (mistake := _mistake(item)):
            yield FieldError(pointer(*path), *mistake)


def _mistake(text: str) -> tuple[str, str] | None:
    if "\0" in text:
        return "nul", "A text must not contain NUL."
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "surrogate", "A text must not contain half of a surrogate pair."
    return None
