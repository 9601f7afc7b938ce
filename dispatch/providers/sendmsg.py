"""The SendMSG provider: one JSON POST per message, our message id as its idempotency key.

`docs/provider-protocol.md` has the protocol. The provider keeps keys for 24 hours and answers a repeated one as it did
the first time, so an outcome that can't be known is resolved by repeating the call. That decides the doubtful rows
below: 500, 502 and 504 may come after the message was taken, hence `Unknown`; 503 says that it was not, hence
`Unavailable`. Redirects are never followed. One that usually follows a finished POST (302, 303) is `Unknown`; the
others tell of a wrong base URL, as does 404, and leave every message for later or for another provider.
"""

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
    Verdict,
    provider_id,
    word,
)
from dispatch.providers.tables import Code, ErrorTable
from sendmsg.errors import MalformedAnswer, OutcomeUnknown
from sendmsg.http import Response

_PERMANENT: Final = ("invalid_recipient", "invalid_sender", "unroutable", "content_rejected", "opted_out")

_ROWS: Final[dict[Code, Verdict]] = {
    **{(status, code): Verdict(Rejected, code) for status in (400, 422) for code in _PERMANENT},
    (409, "in_progress"): Verdict(Retry, "in_progress"),
}
_ERRORS: Final = ErrorTable(_ROWS)


class SendMSGProvider(HttpProvider):
    """Credentials: `api_key`."""

    slug: ClassVar[str] = "sendmsg"
    capabilities: ClassVar[Capabilities] = Capabilities(channels=frozenset({"sms", "whatsapp"}), deduplicates=True)

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
            return _ERRORS.outcome(error.status, None, error.detail)  # the refusal arrived, if not its reasons

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
        return _ERRORS.outcome(answer.status, None, f"HTTP {answer.status} without a usable message id")
    error = content.get("error")
    code = word(error.get("code")) if isinstance(error, dict) else None
    detail = f"HTTP {answer.status} {code}" if code else f"HTTP {answer.status} without a usable error code"
    return _ERRORS.outcome(answer.status, code, detail, answer.retry_after())
