"""The SendMSG provider: one JSON POST per message, our message id as its idempotency key.

`docs/provider-protocol.md` has the protocol. The provider keeps keys for 24 hours and answers a repeated one as it did
the first time, so an outcome that can't be known is resolved by repeating the call. That decides the doubtful rows
below: 500, 502 and 504 may come after the message was taken, hence `Unknown`; 503 says that it was not, hence
`Unavailable`. Redirects are never followed. One that usually follows a finished POST (302, 303) is `Unknown`; the
others tell of a wrong base URL, as does 404, and leave every message for later or for another provider.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    HttpProvider,
    Outbound,
    Outcome,
    Rejected,
    Retry,
    Unavailable,
    Unknown,
    Verdict,
    provider_id,
    word,
)
from sendmsg.errors import MalformedAnswer, OutcomeUnknown
from sendmsg.http import Response

_PERMANENT: Final = ("invalid_recipient", "invalid_sender", "unroutable", "content_rejected", "opted_out")

# By status and the provider's own code; what isn't here is decided by status alone.
_ERRORS: Final[Mapping[tuple[int, str], Verdict]] = MappingProxyType(
    {(status, code): Verdict(Rejected, code) for status in (400, 422) for code in _PERMANENT}
    | {(409, "in_progress"): Verdict(Retry, "in_progress")}
)
_STATUSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        302: Verdict(Unknown, "redirected"),
        303: Verdict(Unknown, "redirected"),
        400: Verdict(Rejected, "invalid_request"),
        401: Verdict(Unavailable, "unauthorized"),  # our credentials are at fault, not the message
        403: Verdict(Unavailable, "unauthorized"),
        408: Verdict(Retry, "request_timeout"),
        409: Verdict(Retry, "conflict"),
        413: Verdict(Rejected, "too_large"),
        422: Verdict(Rejected, "invalid_request"),
        425: Verdict(Retry, "too_early"),
        429: Verdict(Retry, "throttled"),
        501: Verdict(Unavailable, "not_implemented"),
        503: Verdict(Unavailable, "unavailable"),
    }
)
_CLASSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        2: Verdict(Unknown, "bad_answer"),
        3: Verdict(Unavailable, "redirected"),
        4: Verdict(Unavailable, "misconfigured"),
        5: Verdict(Unknown, "server_error"),
    }
)
_OTHERWISE: Final = Verdict(Unknown, "bad_answer")


class SendMSGProvider(HttpProvider):
    """Credentials: `api_key`."""

    slug: ClassVar[str] = "sendmsg"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms", "whatsapp"}), batch_size=1, deduplicates=True, fetches_status=False
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._url = f"{self.base_url}/v1/messages"
        self._authorization = f"Bearer {config.credential('api_key')}"

    def attempt(self, message: Outbound) -> Outcome:
        headers = {"Authorization": self._authorization, "Idempotency-Key": str(message.message_id)}
        try:
            return _outcome(self.http.request("POST", self._url, headers=headers, json=self._submission(message)))
        except OutcomeUnknown as error:
            if error.status is None or error.status < 300:
                raise
            return _verdict(error.status, None).outcome(error.detail)  # the refusal arrived, if not its reasons

    def _submission(self, message: Outbound) -> dict[str, Any]:
        submission: dict[str, Any] = {
            "to": message.to,
            "from": message.sender or None,
            "body": message.body,
            "channel": message.channel,
        }
        if self.config.receipt_url:
            submission["receipt_url"] = self.config.receipt_url
        return submission


def _outcome(answer: Response) -> Outcome:
    try:
        content = answer.json()
    except MalformedAnswer:
        content = None
    content = content if isinstance(content, dict) else {}
    if 200 <= answer.status < 300:
        given = provider_id(content.get("id"))
        if given is not None:
            return Accepted((given,))
        return _verdict(answer.status, None).outcome(f"HTTP {answer.status} without a usable message id")
    error = content.get("error")
    code = word(error.get("code")) if isinstance(error, dict) else None
    detail = f"HTTP {answer.status} {code}" if code else f"HTTP {answer.status} without a usable error code"
    return _verdict(answer.status, code).outcome(detail, answer.retry_after())


def _verdict(status: int, code: str | None) -> Verdict:
    by_status = _STATUSES.get(status) or _CLASSES.get(status // 100, _OTHERWISE)
    return _ERRORS.get((status, code or ""), by_status)
