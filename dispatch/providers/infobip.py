"""Infobip SMS: POST /sms/3/messages, with a result for each recipient.

HTTP 200 only says that the request could be read: each message has a status of its own, and only the groups PENDING,
ACCEPTED and DELIVERED took it. The message's id is ours: we send it as `messageId`, and results, receipts and logs name
it. A repeated id is refused (REJECTED_DUPLICATE_MESSAGE_ID), but for how long Infobip remembers is not documented, nor
whether an id counts as used when its message was refused. So this adapter does not claim to deduplicate, and that
refusal is `Unknown`. Since the id is ours, the status of a message can be asked for even if its call had no answer.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from dispatch.providers.answers import Answer, ask
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    Found,
    Missing,
    NumberFormat,
    Outbound,
    Outcome,
    Rejected,
    Report,
    Retry,
    Unavailable,
    Unknown,
    Verdict,
    word,
)
from dispatch.providers.batches import BatchHttpProvider, Call
from dispatch.providers.finding import Window
from dispatch.providers.tables import ErrorTable

_TAKEN: Final = frozenset({"PENDING", "ACCEPTED", "DELIVERED"})
"""Groups of status that say so."""

_ERRORS: Final = ErrorTable(
    {
        # By name of status, https://www.infobip.com/docs/essentials/response-status-and-error-codes
        "REJECTED_NETWORK": Verdict(Unavailable, "unroutable"),  # not covered by this account; another may
        "REJECTED_ROUTE_NOT_AVAILABLE": Verdict(Unavailable, "unroutable"),
        "REJECTED_DESTINATION_NOT_REGISTERED": Verdict(Unavailable, "unroutable"),  # a trial account's limit
        "REJECTED_NOT_ENOUGH_CREDITS": Verdict(Unavailable, "out_of_credit"),
        "REJECTED_PREPAID_PACKAGE_EXPIRED": Verdict(Unavailable, "out_of_credit"),
        "REJECTED_SYSTEM_ERROR": Verdict(Unavailable, "unavailable"),
        "UNDELIVERABLE_REJECTED_PLATFORM": Verdict(Unavailable, "unavailable"),
        "UNDELIVERABLE_NOT_SENT": Verdict(Unavailable, "unavailable"),
        "REJECTED_FLOODING_FILTER": Verdict(Retry, "throttled"),  # too many to this one number within an hour
        "REJECTED_DUPLICATE_MESSAGE_ID": Verdict(Unknown, "duplicate"),
        "REJECTED_PREFIX_MISSING": Verdict(Rejected, "invalid_recipient"),
        "REJECTED_DESTINATION": Verdict(Rejected, "invalid_recipient"),
        "MISSING_TO": Verdict(Rejected, "invalid_recipient"),
        "REJECTED_DESTINATION_BLOCKLISTED": Verdict(Rejected, "unroutable"),
        "SIGNALS_BLOCKED": Verdict(Rejected, "unroutable"),
        "REJECTED_DND": Verdict(Rejected, "opted_out"),
        "REJECTED_SOURCE": Verdict(Rejected, "invalid_sender"),
        "REJECTED_SENDER": Verdict(Rejected, "invalid_sender"),
        "REJECTED_MESSAGE_TOO_LONG": Verdict(Rejected, "too_large"),
        # By group, where the name is not above.
        "REJECTED": Verdict(Rejected, "invalid_request"),
        "UNDELIVERABLE": Verdict(Unknown, "bad_answer"),  # it went to the operator first
        "EXPIRED": Verdict(Unknown, "bad_answer"),
    }
)

LOGS_KEPT: Final = timedelta(hours=47)
"""The logs go back 48 hours."""

STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DELIVERED_TO_OPERATOR": "sent",  # in the group DELIVERED, but not at the handset yet
        "EXPIRED_DLR_UNKNOWN": "unknown",
        "ACCEPTED": "sent",
        "PENDING": "sent",
        "DELIVERED": "delivered",
        "UNDELIVERABLE": "undelivered",
        "EXPIRED": "undelivered",
        "REJECTED": "undelivered",
    }
)
"""Infobip's name of a status, or its group where the name is not here → `ReceiptStatus`."""


class InfobipProvider(BatchHttpProvider):
    """Credentials: `api_key`. The base URL is the account's own: https://….api.infobip.com."""

    slug: ClassVar[str] = "infobip"
    # Infobip documents no most; 1,000 results stay far below the most that we read of an answer.
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms"}),
        batch_size=1000,
        fetches_status=True,
        finds=True,
        validity=(1, 172_800),  # 48 hours
        number_format=NumberFormat.DIGITS,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._headers = {"Authorization": f"App {config.credential('api_key')}", "Accept": "application/json"}

    def attempt_call(self, call: Call) -> list[Outcome] | Outcome:
        submission = {"messages": [self._message(call)]}
        answer = ask(self.http, "POST", f"{self.base_url}/sms/3/messages", self._headers, json=submission)
        if not answer.succeeded:
            return answer.outcome(_ERRORS, None)
        results = _by_id(answer.at("messages"))
        return [_outcome(answer, message, results.get(str(message.message_id))) for message in call.messages]

    def fetch_status(self, reference: str) -> Report | None:
        answer = self._logs(reference)
        found = _by_id(answer.at("results")).get(reference, {})
        name, group = _status(found)
        if answer.status != 200 or group is None:
            return None
        error = found.get("error")
        reason = word(error.get("name")) if isinstance(error, dict) else None
        status = STATUSES.get(name or "") or STATUSES.get(group, "unknown")
        return Report(status, "" if reason in (None, "NO_ERROR") else reason)

    def find(self, message: Outbound, since: datetime) -> Found | Missing | None:
        answer = self._logs(str(message.message_id))
        if answer.status != 200:
            return None
        if _by_id(answer.at("results")).get(str(message.message_id)):
            return Found((str(message.message_id),))
        none = answer.at("results") == []
        return Window.of(since, self.config.total_timeout).missing(LOGS_KEPT) if none else None

    def _logs(self, message_id: str) -> Answer:
        """What the logs have of a message; the reports would be given once only."""
        url = f"{self.base_url}/sms/3/logs?messageId={quote(message_id, safe='')}"
        return ask(self.http, "GET", url, self._headers)

    def _message(self, call: Call) -> dict[str, Any]:
        write = self.capabilities.number_format.write
        message: dict[str, Any] = {
            "destinations": [{"to": write(one.to), "messageId": str(one.message_id)} for one in call.messages],
            "content": {"text": call.first.body},
        }
        if call.first.sender:
            message["sender"] = write(call.first.sender)
        if call.validity is not None:
            message["options"] = {"validityPeriod": {"amount": call.validity, "timeUnit": "SECONDS"}}
        if self.config.receipt_url:
            message["webhooks"] = {"delivery": {"url": self.config.receipt_url}, "contentType": "application/json"}
        return message


def _outcome(answer: Answer, message: Outbound, result: dict[str, Any] | None) -> Outcome:
    if result is None:
        return answer.outcome(_ERRORS, None)
    name, group = _status(result)
    if group in _TAKEN:
        return Accepted((str(message.message_id),))
    return answer.outcome(_ERRORS, name if name in _ERRORS.codes else group)


def _status(result: dict[str, Any]) -> tuple[str | None, str | None]:
    """Its name, and the name of its group."""
    status = result.get("status")
    return (word(status.get("name")), word(status.get("groupName"))) if isinstance(status, dict) else (None, None)


def _by_id(results: object) -> dict[str, dict[str, Any]]:
    """The results by message id; none if they can't be read."""
    listed = results if isinstance(results, list) else []
    return {one["messageId"]: one for one in listed if isinstance(one, dict) and isinstance(one.get("messageId"), str)}
