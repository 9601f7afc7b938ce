"""The adapters by name. Names are stored with connections, so they never change. Adapters are imported on first use."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

from dispatch.providers.base import Provider
from sendmsg.errors import UnknownProvider

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sendmsg": "dispatch.providers.sendmsg.SendMSGProvider",
        "twilio": "dispatch.providers.twilio.TwilioProvider",
        "whatsapp_cloud": "dispatch.providers.whatsapp_cloud.WhatsAppCloudProvider",
        "telnyx": "dispatch.providers.telnyx.TelnyxProvider",
        "vonage": "dispatch.providers.vonage.VonageProvider",
        "infobip": "dispatch.providers.infobip.InfobipProvider",
        "sinch": "dispatch.providers.sinch.SinchProvider",
        "plivo": "dispatch.providers.plivo.PlivoProvider",
        "aws": "dispatch.providers.aws.AWSProvider",
    }
)


@cache
def get(slug: str) -> type[Provider]:
    """The adapter's class; `UnknownProvider` if there is none by this name."""
    try:
        module, _, name = PROVIDERS[slug].rpartition(".")
    except KeyError:
        raise UnknownProvider(f"No provider {slug!r}; known are: {', '.join(sorted(PROVIDERS))}.") from None
    found: type[Provider] = getattr(import_module(module), name)
    return found
