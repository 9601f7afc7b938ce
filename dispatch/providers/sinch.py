"""Sinch's SMS REST API (XMS): one batch for up to 1,000 recipients, POST /xms/v1/{service_plan_id}/batches.

Sinch takes or refuses a batch as a whole, and gives it one id for all recipients. Receipts (`delivery_report`:
per_recipient) and reports name a message by batch and recipient, so its id here is made of both: `reference`. There is
no idempotency key, and the batch's `client_reference` stops no second send: it only tells people of ours which it was.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from dispatch.providers.answers import ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    Found,
    Missing,
    Outbound,
    Outcome,
    Rejected,
    Report,
    Unavailable,
    Verdict,
    provider_id,
    word,
)
from dispatch.providers.batches import BatchHttpProvider, Call, digits
from dispatch.providers.finding import Window
from dispatch.providers.tables import ErrorTable

PAGE: Final = 100  # batches; the most that Sinch lists at once
BATCHES_KEPT: Final = timedelta(days=13)  # Sinch keeps them for 14 days
MAX_BATCH_ID: Final = 100  # characters, so that what `reference` adds has room; real ones have 26

# https://developers.sinch.com/docs/sms/api-reference/status-codes; other codes of 400 are syntax errors, of 403 ours.
_ERRORS: Final = ErrorTable(
    {
        "illegal_number_type": Verdict(Rejected, "invalid_recipient"),
        "missing_callback_url": Verdict(Unavailable, "misconfigured"),
    }
)

STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("Queued", "Dispatched"), "sent"),
        "Delivered": "delivered",
        **dict.fromkeys(("Aborted", "Cancelled", "Rejected", "Deleted", "Failed", "Expired"), "undelivered"),
        "Unknown": "unknown",
    }
)
"""Sinch's word for what became of a message → `ReceiptStatus`."""


def reference(batch_id: str, recipient: str) -> str:
    """The id of one message of a batch: the batch's, and a digest of the recipient, with or without its `+`.

    A digest, because ids are shown and logged where numbers must not be.
    """
    return f"{batch_id}:{hashlib.blake2b(f'{batch_id}:{digits(recipient)}'.encode(), digest_size=8).hexdigest()}"


class SinchProvider(BatchHttpProvider):
    """Credentials: `service_plan_id`, `api_token`. The base URL is the region's: https://eu.sms.api.sinch.com."""

    slug: ClassVar[str] = "sinch"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms"}),
        batch_size=1000,
        fetches_status=True,
        finds=True,
        # Sinch takes a moment from now to three days ahead, by its own clock: ours may be half a minute off.
        validity=(30, 259_170),
        max_body=2_000,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        plan = quote(config.credential("service_plan_id"), safe="")
        self._batches = f"{self.base_url}/xms/v1/{plan}/batches"
        self._headers = {"Authorization": f"Bearer {config.credential('api_token')}"}

    def attempt_call(self, call: Call) -> list[Outcome] | Outcome:
        answer = ask(self.http, "POST", self._batches, self._headers, json=self._submission(call))
        if not answer.succeeded:
            return answer.outcome(_ERRORS, word(answer.at("code")))
        batch_id = provider_id(answer.at("id"))
        if batch_id is None or len(batch_id) > MAX_BATCH_ID or ":" in batch_id:
            return answer.outcome(_ERRORS, None)
        return [Accepted((reference(batch_id, message.to),)) for message in call.messages]

    def fetch_status(self, reference: str) -> Report | None:
        """From the report of the whole batch: only that can be asked for without the recipient's number."""
        batch_id = reference.partition(":")[0]
        url = f"{self._batches}/{quote(batch_id, safe='')}/delivery_report?type=full"
        answer = ask(self.http, "GET", url, self._headers)
        groups = answer.at("statuses")
        if answer.status != 200 or not isinstance(groups, list):
            return None
        return next((_report(group) for group in groups if _names(group, reference)), None)

    def find(self, message: Outbound, since: datetime) -> Found | Missing | None:
        """By our id if it went alone. One of many can only be ruled out: no batch of that time has its recipient."""
        own = self._listed(client_reference=str(message.message_id))
        if own is None or len(own) > 1:
            return None
        if own:
            given = provider_id(own[0].get("id"))
            ours = own[0].get("client_reference") == str(message.message_id)
            return Found((reference(given, message.to),)) if given and ours else None
        window = Window.of(since, self.config.total_timeout)
        others = self._listed(start_date=_moment(window.start), end_date=_moment(window.end))
        if others is None or not all(_spares(batch, message.to) for batch in others):
            return None
        return window.missing(BATCHES_KEPT)

    def _listed(self, **query: str) -> list[dict[str, Any]] | None:
        """The batches that there are; None if they can't be read, or are too many for one page."""
        url = f"{self._batches}?{urlencode({**query, 'page_size': PAGE})}"
        answer = ask(self.http, "GET", url, self._headers)
        listed = answer.at("batches")
        if answer.status != 200 or not isinstance(listed, list) or answer.at("count") != len(listed):
            return None
        return listed if all(isinstance(batch, dict) for batch in listed) else None

    def _submission(self, call: Call) -> dict[str, Any]:
        submission: dict[str, Any] = {
            "to": [message.to for message in call.messages],
            "body": call.first.body,
            "type": "mt_text",
            "delivery_report": "per_recipient",
        }
        if len(call.messages) == 1:
            submission["client_reference"] = str(call.first.message_id)
        if call.first.sender:
            submission["from"] = call.first.sender
        if call.validity is not None:
            until = datetime.now(UTC) + timedelta(seconds=call.validity)
            submission["expire_at"] = _moment(until)
        if self.config.receipt_url:
            submission["callback_url"] = self.config.receipt_url
        return submission


def _moment(moment: datetime) -> str:
    """As Sinch writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _spares(batch: dict[str, Any], recipient: str) -> bool:
    """Whether the batch certainly does not go to this recipient."""
    to = batch.get("to")
    return isinstance(to, list) and bool(to) and all(digits(one) not in ("", digits(recipient)) for one in to)


def _names(group: object, message: str) -> bool:
    """Whether the recipients in this part of a report have the one that the message went to."""
    recipients = group.get("recipients") if isinstance(group, dict) else None
    if not isinstance(recipients, list):
        return False
    batch_id = message.partition(":")[0]
    return any(reference(batch_id, one) == message for one in recipients if isinstance(one, str))


def _report(group: dict[str, Any]) -> Report | None:
    said = word(group.get("status"))
    if said is None:
        return None
    ours = STATUSES.get(said, "unknown")
    return Report(ours, number(group.get("code")) or "" if ours == "undelivered" else "")
