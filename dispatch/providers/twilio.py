"""Twilio's Messages resource (API version 2010-04-01): SMS and WhatsApp, one form POST per message.

Twilio takes no idempotency key and no reference of ours, so a message whose outcome is unknown must not be repeated. It
says of its codes that they are refined over time: what the table doesn't name is decided by the HTTP status.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

from dispatch.providers.answers import Answer, ask, number
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    Found,
    HttpProvider,
    Missing,
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
from dispatch.providers.finding import Window
from dispatch.providers.tables import Code, ErrorTable

PAGE: Final = 200  # messages, of up to 4 kB each, so that a page stays below the most that we read

_ROWS: Final[dict[Code, Verdict]] = {
    **dict.fromkeys(("10001", "20003", "20005", "30002"), Verdict(Unavailable, "unauthorized")),  # account or token
    **dict.fromkeys(("20429", "63017", "63018"), Verdict(Retry, "throttled")),
    **dict.fromkeys(("20500", "20503"), Verdict(Unknown, "server_error")),  # Twilio: look it up before sending again
    **dict.fromkeys(("21211", "21214", "21217", "21604", "63003", "63024"), Verdict(Rejected, "invalid_recipient")),
    **dict.fromkeys(("21212", "21603", "21606", "21659", "21660", "21661"), Verdict(Rejected, "invalid_sender")),
    **dict.fromkeys(("21703", "21704", "21910", "63007"), Verdict(Rejected, "invalid_sender")),  # of the service
    **dict.fromkeys(("21408", "21612", "21614", "21635", "63015"), Verdict(Rejected, "unroutable")),
    **dict.fromkeys(("21609", "21705"), Verdict(Unavailable, "misconfigured")),  # receipt URL, messaging service
    "21610": Verdict(Rejected, "opted_out"),
    "21611": Verdict(Retry, "too_early"),  # this sender's queue is full; others go on
    "21617": Verdict(Rejected, "too_large"),
    "30007": Verdict(Rejected, "content_rejected"),
    "63016": Verdict(Rejected, "window_closed"),  # WhatsApp outside the 24-hour window: only a template is taken
}
_ERRORS: Final = ErrorTable(_ROWS)

STATUSES: Final = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), "sent"),
    **dict.fromkeys(("delivered", "read"), "delivered"),
    **dict.fromkeys(("undelivered", "failed", "canceled"), "undelivered"),
}
"""Twilio's word for what became of a message → `ReceiptStatus`."""


class TwilioProvider(HttpProvider):
    """Credentials: `account_sid`, and `auth_token` or the pair `api_key` (its SID) and `api_key_secret`.

    With `messaging_service_sid`, the service chooses the sender of messages that name none.
    """

    slug: ClassVar[str] = "twilio"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms", "whatsapp"}),
        fetches_status=True,
        finds=True,
        validity=(1, 36_000),  # `ValidityPeriod`; without one, Twilio keeps a message for the longest
        max_body=1_600,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        account = config.credential("account_sid")
        user, password = account, "auth_token"
        if "api_key" in config.credentials:
            user, password = config.credential("api_key"), "api_key_secret"
        basic = b64encode(f"{user}:{config.credential(password)}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}"}
        self._messages = f"{self.base_url}/2010-04-01/Accounts/{quote(account, safe='')}/Messages"
        self._common = {}
        if "messaging_service_sid" in config.credentials:
            self._common["MessagingServiceSid"] = config.credential("messaging_service_sid")
        if config.receipt_url:
            self._common["StatusCallback"] = config.receipt_url

    def attempt(self, message: Outbound) -> Outcome:
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(self._submission(message)).encode()
        return _outcome(ask(self.http, "POST", f"{self._messages}.json", headers, body=body))

    def fetch_status(self, reference: str) -> Report | None:
        answer = ask(self.http, "GET", f"{self._messages}/{quote(reference, safe='')}.json", self._headers)
        status = answer.at("status")
        if answer.status != 200 or not isinstance(status, str):
            return None
        return Report(STATUSES.get(status, "unknown"), number(answer.at("error_code")) or "")

    def find(self, message: Outbound, since: datetime) -> Found | Missing | None:
        """By recipient, text and time, the only things that Twilio was told.

        Its filter by date is not used: it is of the day that a message was sent, and one that still waits has none.
        """
        to = self._submission(message)["To"]
        answer = ask(
            self.http, "GET", f"{self._messages}.json?{urlencode({'To': to, 'PageSize': PAGE})}", self._headers
        )
        listed = answer.at("messages")
        if answer.status != 200 or not isinstance(listed, list) or "next_page_uri" not in answer.content:
            return None
        if answer.at("next_page_uri") is not None or not all(map(_readable, listed)):
            return None
        window = Window.of(since, self.config.total_timeout)
        then = [one for one in listed if window.holds(_created(one)) and one["direction"] != "inbound"]
        given = [provider_id(one.get("sid")) for one in then if one["body"] == message.body]
        if len(given) == 1 and given[0] is not None:
            return Found((given[0],))
        # Twilio may have changed a text (smart encoding, the words before those of a trial account).
        return None if then else window.missing()

    def _submission(self, message: Outbound) -> dict[str, str]:
        prefix = "whatsapp:" if message.channel == "whatsapp" else ""
        submission = {"To": prefix + message.to, "Body": message.body, **self._common}
        if message.sender:
            submission["From"] = prefix + message.sender
        validity = self.capabilities.validity_of(message.valid_for)
        if validity is not None:
            submission["ValidityPeriod"] = str(validity)
        return submission


def _readable(listed: object) -> bool:
    """Whether it says what decides if it is the message that we look for."""
    words = ("body", "direction", "date_created")
    if not isinstance(listed, dict) or not all(isinstance(listed.get(word), str) for word in words):
        return False
    try:
        return _created(listed).tzinfo is not None
    except (ValueError, OverflowError):
        return False


def _created(listed: Mapping[str, str]) -> datetime:
    """In RFC 2822, as Twilio writes all moments."""
    return parsedate_to_datetime(listed["date_created"])


def _outcome(answer: Answer) -> Outcome:
    given = provider_id(answer.at("sid"))
    if answer.succeeded and given is not None:
        return Accepted((given,))
    return answer.outcome(_ERRORS, number(answer.at("code")))
