"""From each provider's own request, signed as it signs, to the message that it delivered."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
import time_machine
from django.test import Client

from dispatch import directory
from dispatch.models import Message
from dispatch.providers.sinch import reference
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message, make_number, make_reference
from tests.fixtures import raw
from tests.webhooks.contract import NOW, SECRET, Example, InboundContract
from tests.webhooks.test_aws_inbound import Internet
from tests.webhooks.test_aws_inbound import TestAws as Aws
from tests.webhooks.test_infobip_inbound import TestInfobip as Infobip
from tests.webhooks.test_plivo_inbound import TestPlivo as Plivo
from tests.webhooks.test_sinch_inbound import BATCH
from tests.webhooks.test_sinch_inbound import TestSinch as Sinch
from tests.webhooks.test_telnyx_inbound import TestTelnyx as Telnyx
from tests.webhooks.test_twilio_inbound import TestTwilio as Twilio
from tests.webhooks.test_vonage_inbound import TestVonage as Vonage
from tests.webhooks.test_whatsapp_cloud_inbound import WAMID
from tests.webhooks.test_whatsapp_cloud_inbound import TestWhatsAppCloud as WhatsAppCloud
from webhooks.inbound import sns
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.models import Inbound

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]

IDS = {
    Aws: "9539975a-e71f-45f3-b496-8d98dc098a77",
    Infobip: "01a208a8-1d08-7252-90a9-79f874e03b3f",
    Plivo: "5b40a428-bfc7-4daf-9d06-726c558bf3b8",
    Sinch: reference(BATCH, "+447700900123"),
    Telnyx: "40385f64-5717-4562-b3fc-2c963f66afa6",
    Twilio: dict(parse_qsl(raw("twilio/receipt_delivered.form").decode()))["MessageSid"],
    Vonage: "0A0000001234567B",
    WhatsAppCloud: WAMID,
}
"""What the adapter returned for the message that the fixture is about."""
every_provider = pytest.mark.parametrize("kind", IDS, ids=lambda kind: kind.inbound.slug)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The certificate of SNS."""
    monkeypatch.setattr(sns, "fetch", Internet().fetch)
    yield
    directory.forget()


def example(contract: InboundContract, name: str) -> Example:
    [found] = [one for one in contract.examples if name in one.name and one.method == "POST" and not one.extra_query]
    return found


def post(contract: InboundContract, name: str) -> int:
    """Post an example through the whole web stack; the status of the answer."""
    path = f"/webhooks/{contract.inbound.slug}/line"
    given = contract.unsigned(example(contract, name))
    request: WebhookRequest = contract.sign(
        WebhookRequest(given.headers, given.body, NOW, url=f"http://127.0.0.1:8000{path}")
    )
    headers: dict[str, Any] = {**request.headers, "host": "localhost"}
    with time_machine.travel(NOW, tick=False):
        return Client().post(path, request.body, headers.pop("content-type"), headers=headers).status_code


@every_provider
def test_a_receipt_delivers_its_message(kind: type[InboundContract], alice: Member) -> None:
    contract = kind()
    line = make_connection("line", provider=contract.inbound.slug, credentials=contract.credentials(SECRET))
    message = make_message(alice.account, State.SENT, connection=line)
    make_reference(message, IDS[kind])

    assert post(contract, "receipt_delivered") == 200
    ReceiptsPump().step()

    assert Message.objects.get().state == State.DELIVERED


@every_provider
def test_a_message_reaches_the_account_of_its_number(kind: type[InboundContract], alice: Member) -> None:
    contract = kind()
    line = make_connection("line", provider=contract.inbound.slug, credentials=contract.credentials(SECRET))
    make_number(line, alice.account, "+447700900001")

    assert post(contract, "/message.") == 200
    ReceiptsPump().step()

    stored = Inbound.objects.get()
    assert (stored.account, stored.sender, stored.to) == (alice.account, "+447700900123", "+447700900001")
    assert "é" in stored.body


@every_provider
def test_a_forged_receipt_is_refused(kind: type[InboundContract]) -> None:
    contract = kind()
    make_connection("line", provider=contract.inbound.slug, credentials=contract.credentials("somebody-elses"))

    assert post(contract, "receipt_delivered") == 401
