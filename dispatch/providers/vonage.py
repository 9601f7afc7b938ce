"""Vonage's SMS API: one form POST per message, answered with HTTP 200 whether it was taken or not.

The truth is in the body: Vonage cuts a long text into messages of its own, each with an id and a status, and sends a
receipt for each. A text of which it took some parts and refused others is `Unknown`: it can be neither repeated nor
completed. Vonage takes no idempotency key; `client-ref` carries our message id into its receipts and nothing more.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from dispatch.providers.answers import Answer, ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    HttpProvider,
    NumberFormat,
    Outbound,
    Outcome,
    Rejected,
    Retry,
    Unavailable,
    Unknown,
    Verdict,
    provider_id,
)
from dispatch.providers.tables import Code, ErrorTable
from dispatch.segments import Encoding, segment

_TAKEN: Final = "0"
_ROWS: Final[dict[Code, Verdict]] = {
    **dict.fromkeys(("1", "10"), Verdict(Retry, "throttled")),  # messages a second, calls at once
    **dict.fromkeys(("2", "3"), Verdict(Rejected, "invalid_request")),
    **dict.fromkeys(("4", "8", "11", "14", "32"), Verdict(Unavailable, "unauthorized")),  # keys, account, signature
    "5": Verdict(Unknown, "server_error"),  # "whilst processing this message"
    **dict.fromkeys(("6", "7", "22", "29"), Verdict(Rejected, "unroutable")),  # prefix, barred, network, test account
    "9": Verdict(Unavailable, "out_of_credit"),
    "12": Verdict(Rejected, "too_large"),
    "15": Verdict(Rejected, "invalid_sender"),
    "23": Verdict(Unavailable, "misconfigured"),  # the receipt URL
    "33": Verdict(Rejected, "invalid_recipient"),  # a number that is no longer in use
}
_ERRORS: Final = ErrorTable(_ROWS)

_WAIT: Final = re.compile(r"\[ *([0-9]{1,6}) *\]")  # "Throughput Rate Exceeded - please wait [ 978 ] and retry"


class VonageProvider(HttpProvider):
    """Credentials: `api_key`, `api_secret`. With `sender`, messages that name none are from it: Vonage needs one."""

    slug: ClassVar[str] = "vonage"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms"}),
        validity=(20, 604_800),  # `ttl` has them in milliseconds; without one, Vonage tries for 72 hours
        number_format=NumberFormat.DIGITS,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._url = f"{self.base_url}/sms/json"
        basic = b64encode(f"{config.credential('api_key')}:{config.credential('api_secret')}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        self._sender = config.credential("sender") if "sender" in config.credentials else ""

    def attempt(self, message: Outbound) -> Outcome:
        body = urlencode(self._submission(message)).encode()
        return _outcome(ask(self.http, "POST", self._url, self._headers, body=body))

    def _submission(self, message: Outbound) -> dict[str, str]:
        unicode = segment(message.body).encoding is Encoding.UCS2  # as "text", Vonage would put "?" for such characters
        write = self.capabilities.number_format.write
        submission = {
            "from": write(message.sender or self._sender),
            "to": write(message.to),
            "text": message.body,
            "type": "unicode" if unicode else "text",
            "client-ref": str(message.message_id),
        }
        validity = self.capabilities.validity_of(message.valid_for)
        if validity is not None:
            submission["ttl"] = str(validity * 1_000)
        if self.config.receipt_url:
            submission["callback"] = self.config.receipt_url
        return submission


def _outcome(answer: Answer) -> Outcome:
    parts = _parts(answer)
    if not answer.succeeded or not parts:
        return answer.outcome(_ERRORS, None)
    refused = [part for part in parts if part.get("status") != _TAKEN]
    if not refused:
        ids = [provider_id(part.get("message-id")) for part in parts]
        usable = tuple(given for given in ids if given is not None)
        return Accepted(usable) if len(usable) == len(parts) else answer.outcome(_ERRORS, None)
    code = number(refused[0].get("status"))
    if len(refused) < len(parts):
        return Unknown("bad_answer", f"{len(refused)} of {len(parts)} parts refused, the first with {code}")
    return answer.outcome(_ERRORS, code, _wait(refused[0].get("error-text")))


def _parts(answer: Answer) -> list[Mapping[str, Any]]:
    """What it says of each part; none if that can't be read."""
    listed = answer.at("messages")
    readable = isinstance(listed, list) and all(isinstance(part, dict) for part in listed)
    return listed if readable else []


def _wait(text: object) -> float | None:
    """The seconds that a throttling error asks for in its text."""
    found = _WAIT.search(text) if isinstance(text, str) else None
    return int(found[1]) / 1_000 if found else None
