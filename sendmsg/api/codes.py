"""Every problem code the API answers with, as data: its HTTP status, its title and its meaning.

Codes are stable: clients branch on them. They may be added, never renamed and never given another status.
`docs/errors.md` is held against this table by a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `meaning` is also the detail of an answer that has nothing more exact to say."""

    status: int
    title: str
    meaning: str


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        # The request as bytes
        "request_invalid": Kind(400, "Invalid request", "The request makes no sense to this server."),
        "json_invalid": Kind(400, "Invalid JSON", "The body is not valid JSON."),
        "json_not_object": Kind(400, "Not a JSON object", "The top level of the body must be a JSON object."),
        "json_duplicate_key": Kind(400, "Duplicate key", "An object of the body has the same key twice."),
        "json_number_invalid": Kind(
            400,
            "Invalid number",
            "The body has NaN, an infinity or a number beyond what we can hold exactly.",
        ),
        "json_too_deep": Kind(400, "Nested too deeply", "The body is nested deeper than any request needs."),
        "encoding_invalid": Kind(400, "Invalid UTF-8", "The body is not valid UTF-8."),
        "text_invalid": Kind(400, "Invalid text", "A text has a NUL character or half of a surrogate pair."),
        "length_required": Kind(411, "Length required", "This server needs a Content-Length for a request's body."),
        "body_too_large": Kind(413, "Body too large", "The body, as it came or inflated, is larger than it may be."),
        "media_type_unsupported": Kind(
            415, "Unsupported media type", "The body must be application/json: say so in Content-Type."
        ),
        "charset_unsupported": Kind(415, "Unsupported charset", "The body must be in UTF-8."),
        "content_encoding_unsupported": Kind(
            415, "Unsupported encoding", "A body may be compressed by gzip, deflate or br, and by one of them."
        ),
        "content_encoding_invalid": Kind(400, "Invalid compression", "The body is not what Content-Encoding says."),
        # The request as fields
        "validation_failed": Kind(400, "Validation failed", "`errors` names each field that can't be accepted."),
        "cursor_invalid": Kind(400, "Invalid cursor", "This API gave no such cursor: start without one."),
        "batch_rejected": Kind(422, "Batch rejected", "A message can't be accepted, and all or nothing was asked for."),
        "broadcast_rejected": Kind(
            422, "Broadcast rejected", "Recipients can't be accepted: none of them, or all or nothing was asked for."
        ),
        "upload_invalid": Kind(400, "Upload invalid", "The stream can't be read as lines; `detail` names the line."),
        "idempotency_key_invalid": Kind(
            400, "Invalid idempotency key", "An Idempotency-Key has 1 to 255 visible ASCII characters."
        ),
        "idempotency_key_reused": Kind(
            422, "Idempotency key reused", "This Idempotency-Key came with another body before."
        ),
        "idempotency_in_progress": Kind(
            409, "Still in progress", "The first request with this Idempotency-Key is still running."
        ),
        # Who asks, and for what
        "key_missing": Kind(401, "API key missing", "Send `Authorization: Bearer <API key>`."),
        "key_malformed": Kind(401, "API key malformed", "This is no API key: a part is missing or mistyped."),
        "key_unknown": Kind(401, "API key unknown", "This API key is not known here."),
        "key_revoked": Kind(401, "API key revoked", "This API key was revoked."),
        "key_expired": Kind(401, "API key expired", "This API key's time is over."),
        "scope_missing": Kind(403, "Scope missing", "This API key lacks the scope that the request needs."),
        "forbidden": Kind(403, "Forbidden", "This request is not allowed."),
        "not_found": Kind(404, "Not found", "There is no such thing here, or it is not yours."),
        "method_not_allowed": Kind(405, "Method not allowed", "This address has no such method: see Allow."),
        "not_acceptable": Kind(406, "Not acceptable", "Answers are JSON: the request's Accept excludes it."),
        "message_not_cancelable": Kind(409, "Too late to cancel", "The message has left or is final already."),
        "broadcast_over": Kind(409, "Over already", "The broadcast is finished or canceled, or about to be."),
        "dead_letter_handled": Kind(409, "Handled already", "The dead letter was replayed or discarded before."),
        "message_not_replayable": Kind(
            409, "Not replayable", "The message may have been sent, or is not failed, expired or unknown any more."
        ),
        "too_many_endpoints": Kind(409, "Too many endpoints", "The account has 20 endpoints already: delete one."),
        "endpoint_disabled": Kind(409, "Endpoint disabled", "The endpoint is disabled: enable it first."),
        "endpoint_of_messages": Kind(
            409, "No URL of its own", "Messages name where this endpoint is called: send one with a callback_url."
        ),
        "throttled": Kind(429, "Too many requests", "Slow down: Retry-After says how long."),
        # Us
        "internal_error": Kind(500, "Internal error", "An error of ours. Quote the request id to report it."),
        "logs_unavailable": Kind(
            503, "Timeline unavailable", "The logs database is away. Messages are accepted and sent as ever."
        ),
        "database_unavailable": Kind(
            503,
            "Database unavailable",
            "The database is away. Repeat the request with the same Idempotency-Key.",
        ),
    }
)
