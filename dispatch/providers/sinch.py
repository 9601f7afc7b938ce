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
from urllib.parse import quote

from dispatch.providers.answers import ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    Outcome,
    Rejected,
    Report,
    Unavailable,
    Verdict,
    provider_id,
    word,
)
from dispatch.providers.batches import BatchHttpProvider, Call, digits
from dispatch.providers.tables import ErrorTable

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
            submission["expire_at"] = until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self.config.receipt_url:
            submission["callback_url"] = self.config.receipt_url
        return submission


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
