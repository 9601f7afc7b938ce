"""Telnyx's Messaging API v2: SMS, one JSON POST per message, our message id as its idempotency key.

Telnyx documents idempotency keys for the endpoints whose reference says so, and only successes are remembered; that of
messages is not known to say so. The key is sent, as it can only help, and not relied upon: an unknown outcome is asked
for, never repeated. The body holds nothing that changes between tries, because a repeat must be the same byte for byte.
"""

from typing import ClassVar, Final
from urllib.parse import quote

from dispatch.providers.answers import Answer, ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    HttpProvider,
    Outbound,
    Outcome,
    Rejected,
    Report,
    Retry,
    Unavailable,
    Unknown,
    Verdict,
    provider_id,
)
from dispatch.providers.tables import Code, ErrorTable

_ROWS: Final[dict[Code, Verdict]] = {
    **dict.fromkeys(("10009", "10010"), Verdict(Unavailable, "unauthorized")),
    **dict.fromkeys(("20100", "40333"), Verdict(Unavailable, "out_of_credit")),  # balance, spend limit of the profile
    **dict.fromkeys(("10003", "40312", "40314"), Verdict(Unavailable, "misconfigured")),  # URL, profile, account
    **dict.fromkeys(("10007", "10008"), Verdict(Unknown, "server_error")),  # unexpected error, timeout on their side
    **dict.fromkeys(("10011", "40011"), Verdict(Retry, "throttled")),
    **dict.fromkeys(("10002", "10016", "40012", "40310"), Verdict(Rejected, "invalid_recipient")),
    **dict.fromkeys(("10001", "40003", "40013"), Verdict(Rejected, "invalid_sender")),  # inactive, blocked, refused
    **dict.fromkeys(("40305", "40306", "40307", "40308", "40321"), Verdict(Rejected, "invalid_sender")),
    **dict.fromkeys(("10039", "40001", "40008", "40309"), Verdict(Rejected, "unroutable")),
    **dict.fromkeys(("40009", "40015", "40322"), Verdict(Rejected, "content_rejected")),
    **dict.fromkeys(("40302", "40328"), Verdict(Rejected, "too_large")),
    "40300": Verdict(Rejected, "opted_out"),
    "40318": Verdict(Retry, "too_early"),  # this sender's queue is full; others go on
}
_ERRORS: Final = ErrorTable(_ROWS)

STATUSES: Final = {
    **dict.fromkeys(("queued", "sending", "sent"), "sent"),
    "delivered": "delivered",
    **dict.fromkeys(("sending_failed", "delivery_failed", "expired"), "undelivered"),
    "delivery_unconfirmed": "unknown",
}
"""Telnyx's word for what became of a message → `ReceiptStatus`."""


class TelnyxProvider(HttpProvider):
    """Credentials: `api_key`. The base URL ends with the version, `/v2`.

    `messaging_profile_id` is needed for alphanumeric senders, and chooses the sender of messages that name none.
    """

    slug: ClassVar[str] = "telnyx"
    capabilities: ClassVar[Capabilities] = Capabilities(channels=frozenset({"sms"}), fetches_status=True)

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._url = f"{self.base_url}/messages"
        self._headers = {"Authorization": f"Bearer {config.credential('api_key')}"}
        self._common = {}
        if "messaging_profile_id" in config.credentials:
            self._common["messaging_profile_id"] = config.credential("messaging_profile_id")
        if config.receipt_url:
            self._common["webhook_url"] = config.receipt_url

    def attempt(self, message: Outbound) -> Outcome:
        submission = {"to": message.to, "text": message.body, **self._common}
        if message.sender:
            submission["from"] = message.sender
        headers = {**self._headers, "Idempotency-Key": str(message.message_id)}
        return _outcome(ask(self.http, "POST", self._url, headers, json=submission))

    def fetch_status(self, reference: str) -> Report | None:
        """Telnyx keeps messages for ten days."""
        answer = ask(self.http, "GET", f"{self._url}/{quote(reference, safe='')}", self._headers)
        status = answer.at("data", "to", 0, "status")
        if answer.status != 200 or not isinstance(status, str):
            return None
        return Report(STATUSES.get(status, "unknown"), number(answer.at("data", "errors", 0, "code")) or "")


def _outcome(answer: Answer) -> Outcome:
    given = provider_id(answer.at("data", "id"))
    if answer.succeeded and given is not None:
        return Accepted((given,))
    return answer.outcome(_ERRORS, number(answer.at("errors", 0, "code")))
