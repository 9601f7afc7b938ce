"""Plivo's Message API: one text for up to 1,000 recipients, POST /v1/Account/{auth_id}/Message/.

The answer lists an id for each number that Plivo took, and the numbers that it found invalid; a 2xx that lists no ids
is no success. Nothing says which id is whose. They are taken to be in the order of the recipients (Plivo drops repeated
numbers, and a call here has none), which its documentation suggests and doesn't promise; receipts name the number too.
If ids and numbers don't add up, all outcomes are `Unknown`. Plivo takes no key or reference of ours, so a message whose
outcome is unknown must not be repeated.
"""

from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import quote

from dispatch.providers.answers import Answer, ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    NumberFormat,
    Outcome,
    Rejected,
    Report,
    provider_id,
)
from dispatch.providers.batches import BatchHttpProvider, Call, digits
from dispatch.providers.tables import ErrorTable

_ERRORS: Final = ErrorTable()  # Plivo gives reasons in English only; its numeric codes come with receipts

STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("queued", "sent"), "sent"),
        **dict.fromkeys(("delivered", "read"), "delivered"),
        **dict.fromkeys(("undelivered", "failed", "rejected"), "undelivered"),
    }
)
"""Plivo's word for what became of a message → `ReceiptStatus`."""


class PlivoProvider(BatchHttpProvider):
    """Credentials: `auth_id`, `auth_token`. With `powerpack_uuid`, it sends the messages that name no sender."""

    slug: ClassVar[str] = "plivo"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms"}),
        batch_size=1000,
        fetches_status=True,
        validity=(5, 10_799),  # `message_expiry`: the time in Plivo's queue
        number_format=NumberFormat.DIGITS,
        max_body=1_600,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        account = config.credential("auth_id")
        basic = b64encode(f"{account}:{config.credential('auth_token')}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}"}
        self._messages = f"{self.base_url}/v1/Account/{quote(account, safe='')}/Message/"
        self._powerpack = config.credential("powerpack_uuid") if "powerpack_uuid" in config.credentials else None

    def attempt_call(self, call: Call) -> list[Outcome] | Outcome:
        if not call.first.sender and self._powerpack is None:
            return Rejected("invalid_sender", "neither a sender nor a powerpack, and Plivo needs one")
        answer = ask(self.http, "POST", self._messages, self._headers, json=self._submission(call))
        return _outcomes(answer, call) if answer.succeeded else answer.outcome(_ERRORS, None)

    def fetch_status(self, reference: str) -> Report | None:
        answer = ask(self.http, "GET", f"{self._messages}{quote(reference, safe='')}/", self._headers)
        said = answer.at("message_state")
        if answer.status != 200 or not isinstance(said, str):
            return None
        status = STATUSES.get(said, "unknown")
        return Report(status, number(answer.at("error_code")) or "" if status == "undelivered" else "")

    def _submission(self, call: Call) -> dict[str, Any]:
        write = self.capabilities.number_format.write
        submission: dict[str, Any] = {
            "dst": "<".join(write(message.to) for message in call.messages),
            "text": call.first.body,
            "type": "sms",
        }
        if call.first.sender:
            submission["src"] = write(call.first.sender)
        else:
            submission["powerpack_uuid"] = self._powerpack
        if call.validity is not None:
            submission["message_expiry"] = call.validity
        if self.config.receipt_url:
            submission |= {"url": self.config.receipt_url, "method": "POST"}
        return submission


def _outcomes(answer: Answer, call: Call) -> list[Outcome] | Outcome:
    invalid, given = answer.at("invalid_number") or [], answer.at("message_uuid") or []
    if not isinstance(invalid, list) or not isinstance(given, list):
        return answer.outcome(_ERRORS, None)
    refused = {digits(one) for one in invalid}
    ids = [provider_id(one) for one in given]
    taken = [message for message in call.messages if digits(message.to) not in refused]
    if len(ids) != len(taken) or len({*ids}) != len(ids):
        return answer.outcome(_ERRORS, None)
    following = iter(ids)
    return [
        Rejected("invalid_recipient", f"HTTP {answer.status}, and named as an invalid number")
        if digits(message.to) in refused
        else _outcome(answer, next(following))
        for message in call.messages
    ]


def _outcome(answer: Answer, identifier: str | None) -> Outcome:
    return Accepted((identifier,)) if identifier else answer.outcome(_ERRORS, None)
