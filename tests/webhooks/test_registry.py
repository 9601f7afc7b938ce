"""Whoever we send through can tell us what became of it, and every one of them is held to the contract."""

from dispatch.providers.registry import PROVIDERS
from tests.webhooks import (
    test_aws_inbound,
    test_infobip_inbound,
    test_plivo_inbound,
    test_sinch_inbound,
    test_telnyx_inbound,
    test_twilio_inbound,
    test_vonage_inbound,
    test_whatsapp_cloud_inbound,
)
from tests.webhooks.contract import InboundContract
from webhooks.inbound.registry import INBOUND

MODULES = (
    test_aws_inbound,
    test_infobip_inbound,
    test_plivo_inbound,
    test_sinch_inbound,
    test_telnyx_inbound,
    test_twilio_inbound,
    test_vonage_inbound,
    test_whatsapp_cloud_inbound,
)


def test_every_provider_that_sends_can_call_back() -> None:
    assert set(PROVIDERS) <= set(INBOUND)


def test_every_provider_that_can_call_back_passes_the_contract() -> None:
    classes = [kind for module in MODULES for kind in vars(module).values() if isinstance(kind, type)]
    tested = {kind.inbound.slug for kind in classes if issubclass(kind, InboundContract) and hasattr(kind, "inbound")}

    assert tested == set(INBOUND) - {"sendmsg"}  # whose tests were there before, and ask for more
