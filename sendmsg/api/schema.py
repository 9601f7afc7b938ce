"""How endpoints are documented: helpers for `@extend_schema`, and our classes explained to drf-spectacular.

An endpoint reads like this:

    @extend_schema(
        request=NewMessage,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: MessageDocument, **problems(*BODY, *IDEMPOTENCY)},
    )

`problems` names every error of the endpoint, each with an example.
"""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    Direction,
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    inline_serializer,
)
from rest_framework import serializers

from sendmsg.accounts.scopes import Scope
from sendmsg.api import idempotency, request_id
from sendmsg.api.codes import KINDS
from sendmsg.api.problems import MEDIA_TYPE, FieldError, Problem

ALWAYS: Final = (
    "key_missing",
    "key_malformed",
    "key_unknown",
    "key_revoked",
    "key_expired",
    "scope_missing",
    "request_invalid",
    "not_acceptable",
    "internal_error",
    "database_unavailable",
)
"""What any endpoint may answer; `problems` adds them by itself."""

LIST: Final = ("validation_failed", "cursor_invalid")
"""What a list may answer."""

PARSING: Final = (
    "json_invalid",
    "json_not_object",
    "json_duplicate_key",
    "json_number_invalid",
    "json_too_deep",
    "encoding_invalid",
    "text_invalid",
    "length_required",
    "body_too_large",
    "media_type_unsupported",
    "charset_unsupported",
    "content_encoding_unsupported",
    "content_encoding_invalid",
)
"""What an endpoint that reads a body may answer before it looks at a field."""

BODY: Final = (*PARSING, "validation_failed")
"""What an endpoint whose body has fields may answer."""

IDEMPOTENCY: Final = (
    *PARSING,
    "idempotency_key_invalid",
    "idempotency_in_progress",
    "idempotency_key_reused",
)
"""What an endpoint that goes through `run_once`, which reads the body, may answer."""

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description=(
        "Makes it safe to repeat the request: for 24 hours at least, the same key and body get the first "
        f"answer again, with `{idempotency.REPLAYED}: true`. Keys count per account, mode and endpoint."
    ),
)
IDEMPOTENCY_REPLAYED: Final = OpenApiParameter(
    idempotency.REPLAYED,
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    description="Present when this is the answer to an earlier request with the same key.",
    response=[200, 201, 202],
)

_EXAMPLE_REQUEST_ID = "019a9d8e1c2f7b40a1d5c3e2f4b6a798"
_EXAMPLE_ERRORS = (FieldError("/to", "required", "This field is required."),)


class FieldErrorDocument(serializers.Serializer[Any]):
    """One mistake at one place of the request."""

    pointer = serializers.CharField(help_text="RFC 6901 pointer into the body or the query parameters.")
    code = serializers.CharField(help_text="Stable.")
    detail = serializers.CharField(help_text="For people.")


class ProblemDocument(serializers.Serializer[Any]):
    """An error, in the form of RFC 9457. Branch on `code`."""

    type = serializers.CharField(help_text="`urn:sendmsg:problem:` and the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people.")
    instance = serializers.CharField(help_text="`urn:sendmsg:request:` and the request id.")
    code = serializers.ChoiceField([(code, kind.meaning) for code, kind in KINDS.items()], help_text="Stable.")
    request_id = serializers.CharField(help_text="As in X-Request-ID; quote it when you ask us.")
    errors = FieldErrorDocument(many=True)  # type: ignore[assignment]  # DRF moves it out of the class


def problems(*codes: str) -> dict[tuple[int, str], OpenApiResponse]:
    """Responses for `extend_schema`: every problem the endpoint may answer, `ALWAYS` included, by status."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, *ALWAYS)):
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {(status, MEDIA_TYPE): _response(status, by_status[status]) for status in sorted(by_status)}


def page_of(name: str, row: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The answer of a list of `row`, as a component called `name`."""
    cursor = serializers.CharField(allow_null=True, help_text="`cursor` of the next page; null on the last.")
    return inline_serializer(name, {"results": row(many=True), "next_cursor": cursor})


def document_request_id(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: the headers that follow from an answer's status."""
    for path in result.get("paths", {}).values():
        for operation in path.values():
            for status, response in operation.get("responses", {}).items():
                headers = response.setdefault("headers", {})
                headers[request_id.HEADER] = _header("string", "Id of this request.")
                if status == "401":
                    headers["WWW-Authenticate"] = _header("string", "How to authenticate.")
                if status in ("409", "429", "503"):
                    headers["Retry-After"] = _header("integer", "Seconds.")
    return result


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """Tells drf-spectacular about `ApiKeyAuthentication`."""

    target_class = "sendmsg.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """A bearer key, and the scopes it may hold."""
        scopes = "\n".join(f"- `{scope.value}`: {scope.label}" for scope in Scope)
        description = f"An API key: `smk_live_…`, or `smk_test_…` for the sandbox. Scopes:\n{scopes}"
        return {"type": "http", "scheme": "bearer", "bearerFormat": "API key", "description": description}


class StrictSerializerSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """Documents that a `StrictSerializer` refuses unknown fields."""

    target_class = "sendmsg.api.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """The usual schema, closed."""
        usual: Any = auto_schema._map_serializer
        schema: dict[str, Any] = usual(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"schema": {"type": kind}, "description": description}


def _response(status: int, codes: list[str]) -> OpenApiResponse:
    description = "\n".join(f"- `{code}`: {KINDS[code].meaning}" for code in codes)
    examples = [
        OpenApiExample(
            code,
            value=_example(code),
            summary=KINDS[code].title,
            response_only=True,
            media_type=MEDIA_TYPE,
            status_codes=[str(status)],
        )
        for code in codes
    ]
    return OpenApiResponse(ProblemDocument, description=description, examples=examples)


def _example(code: str) -> dict[str, Any]:
    errors = _EXAMPLE_ERRORS if code == "validation_failed" else ()
    return Problem(code, errors=errors).document(_EXAMPLE_REQUEST_ID)
