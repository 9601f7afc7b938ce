"""The providers that can call us back, by the name in the webhook's URL."""

from webhooks.inbound.aws import AwsInbound
from webhooks.inbound.base import InboundProvider
from webhooks.inbound.infobip import InfobipInbound
from webhooks.inbound.plivo import PlivoInbound
from webhooks.inbound.sendmsg import SendMSGInbound
from webhooks.inbound.sinch import SinchInbound
from webhooks.inbound.telnyx import TelnyxInbound
from webhooks.inbound.twilio import TwilioInbound
from webhooks.inbound.vonage import VonageInbound
from webhooks.inbound.whatsapp_cloud import WhatsAppCloudInbound

INBOUND: dict[str, InboundProvider] = {
    provider.slug: provider
    for provider in (
        SendMSGInbound(),
        TwilioInbound(),
        WhatsAppCloudInbound(),
        TelnyxInbound(),
        VonageInbound(),
        InfobipInbound(),
        SinchInbound(),
        PlivoInbound(),
        AwsInbound(),
    )
}
