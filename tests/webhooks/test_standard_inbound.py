"""A provider of our own protocol may sign by the Standard Webhooks spec; the spec's package is the oracle."""

import base64
from dataclasses import replace
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.webhooks.contract import NOW, SECRET, Example, InboundContract
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.sendmsg import SendMSGInbound


def spelt(secret: str) -> str:
    """As the spec writes it."""
    return "whsec_" + base64.b64encode(secret.encode()).decode()


class TestStandardWebhooks(InboundContract):
    inbound = SendMSGInbound()
    examples = (Example("sendmsg/receipt.json"), Example("sendmsg/message.json"))
    signature_headers: ClassVar[tuple[str, ...]] = ("webhook-signature", "webhook-timestamp", "webhook-id")
    covers_query = covers_path = False
    timed = True

    def credentials(self, *secrets: str) -> dict[str, Any]:
        return {"webhook_secrets": [spelt(secret) for secret in secrets]}

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        signed = Webhook(spelt(secret)).sign("msg_1", request.at, request.body.decode())
        stamp = str(int(request.at.timestamp()))
        mine = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signed}
        return replace(request, headers={**request.headers, **mine})

    def oracle(self, request: WebhookRequest) -> bool:
        with patch("standardwebhooks.webhooks.datetime", wraps=__import__("datetime").datetime) as clock:
            clock.now.return_value = request.at
            try:
                Webhook(spelt(SECRET)).verify(request.body, dict(request.headers))
            except (WebhookVerificationError, UnicodeError):
                return False
        return True

    def meaning(self, header: str) -> object:
        return header.split()

    @pytest.mark.parametrize("secret", ["whsec_%", "whsec_", SECRET])
    def test_a_secret_that_is_none_of_the_specs_takes_nothing(self, secret: str) -> None:
        assert self.refused(self.signed(), {"webhook_secrets": [secret]}) == "bad_signature"

    def test_without_an_id_it_is_refused(self) -> None:
        signed = self.signed()
        headers = {name: value for name, value in signed.headers.items() if name != "webhook-id"}

        assert self.refused(replace(signed, headers=headers)) == "bad_signature"

    def test_of_several_signatures_one_that_fits_is_enough(self) -> None:
        signed = self.signed()
        both = f"v1,AAAA {signed.headers['webhook-signature']}"

        self.inbound.verify(
            replace(signed, headers={**signed.headers, "webhook-signature": both}), self.credentials(SECRET)
        )
        assert signed.at == NOW
