"""WhatsApp's Cloud API (Meta's Graph API): one JSON POST per message, a text or a template.

Meta takes no idempotency key; `biz_opaque_callback_data` carries our message id into its receipts, but doesn't stop a
second send. It asks to build on `code` and not on the HTTP status, which is 400 for much that isn't the fault of the
request, and it never says `Retry-After`. Receipts go where the app's own settings say, not where a message says.
"""

from typing import Any, ClassVar, Final
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
    Retry,
    SenderKind,
    Unavailable,
    Unknown,
    Verdict,
    provider_id,
)
from dispatch.providers.tables import Code, ErrorTable

_PERMISSIONS: Final = ("3", "10", *map(str, range(200, 300)), "131005")
_ACCOUNT: Final = ("368", "131031")  # blocked for its conduct, locked
_NUMBER: Final = ("33", "100.33", "131037", "131045", "133010")  # of ours: gone, unknown, not approved, not registered

_ROWS: Final[dict[Code, Verdict]] = {
    **dict.fromkeys(("0", "190", *_PERMISSIONS, *_ACCOUNT), Verdict(Unavailable, "unauthorized")),
    **dict.fromkeys(_NUMBER, Verdict(Unavailable, "misconfigured")),
    **dict.fromkeys(("2", "131016", "131057"), Verdict(Unavailable, "unavailable")),  # overload, maintenance
    **dict.fromkeys(("1", "131000"), Verdict(Unknown, "server_error")),
    **dict.fromkeys(("4", "80007", "130429", "131048"), Verdict(Retry, "throttled")),
    **dict.fromkeys(("130472", "130497", "131026", "131030", "131049"), Verdict(Rejected, "unroutable")),
    "131021": Verdict(Rejected, "invalid_recipient"),  # the sender itself
    "131042": Verdict(Unavailable, "out_of_credit"),
    "131047": Verdict(Rejected, "window_closed"),  # outside the 24-hour window: only a template is taken
    "131050": Verdict(Rejected, "opted_out"),
    "131056": Verdict(Retry, "too_early"),  # too many to this recipient; others go on
}
_ERRORS: Final = ErrorTable(_ROWS)

WAITS: Final = {"131048": 3_600.0, "131056": 6.0}
"""Seconds, by code: a number limited as a spammer stays so for long; one message in 6 s may go to one recipient."""


class WhatsAppCloudProvider(HttpProvider):
    """Credentials: `access_token` and `phone_number_id`. The base URL ends with the version of the Graph API.

    `phone_number_id` is the sender, whatever the message says: a connection is one number.
    """

    slug: ClassVar[str] = "whatsapp_cloud"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"whatsapp"}),
        senders=frozenset({SenderKind.NUMBER, SenderKind.NONE}),
        max_body=4_096,
        pair_interval=6.0,
        templates=True,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._url = f"{self.base_url}/{quote(config.credential('phone_number_id'), safe='')}/messages"
        self._headers = {"Authorization": f"Bearer {config.credential('access_token')}"}

    def attempt(self, message: Outbound) -> Outcome:
        return _outcome(ask(self.http, "POST", self._url, self._headers, json=_submission(message)))


def _submission(message: Outbound) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.to,
        **_content(message),
        "biz_opaque_callback_data": str(message.message_id),
    }


def _content(message: Outbound) -> dict[str, Any]:
    if message.template is None:
        return {"type": "text", "text": {"body": message.body, "preview_url": False}}
    # A parameter may have no line breaks, no tabs and no long runs of spaces.
    parameter = {"type": "text", "text": " ".join(message.body.split())}
    template = {
        "name": message.template.name,
        "language": {"code": message.template.language},
        "components": [{"type": "body", "parameters": [parameter]}],
    }
    return {"type": "template", "template": template}


def _outcome(answer: Answer) -> Outcome:
    given = provider_id(answer.at("messages", 0, "id"))
    if answer.succeeded and given is not None:
        return Accepted((given,))
    code = number(answer.at("error", "code"))
    exact = f"{code}.{number(answer.at('error', 'error_subcode'))}"
    code = exact if exact in _ROWS else code
    return answer.outcome(_ERRORS, code, WAITS.get(code or ""))
