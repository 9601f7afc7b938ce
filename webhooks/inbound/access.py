"""What stands in for a signature, or beside one: a secret in the path, a password, and a list of addresses.

All are credentials of the connection and lists, so that one can be replaced without losing a receipt:

    webhook_tokens      ["…"]             /webhooks/<provider>/<connection>/<token>; the first is in our receipt URLs
    webhook_basic       ["user:password"] HTTP Basic authentication
    webhook_addresses   ["192.0.2.0/24"]  networks that the request may come from

Each that is there must hold, for signed webhooks too. Addresses alone prove nothing: many share those of a provider.
"""

from collections.abc import Mapping
from hmac import compare_digest
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from sendmsg.errors import SignatureRefused
from webhooks.inbound.signatures import from_base64, listed

if TYPE_CHECKING:
    from webhooks.inbound.base import WebhookRequest

TOKENS, PASSWORDS, ADDRESSES = "webhook_tokens", "webhook_basic", "webhook_addresses"


def check(request: "WebhookRequest", credentials: Mapping[str, Any]) -> None:
    """Raise `SignatureRefused` if the connection asks for something that the request lacks."""
    networks = listed(credentials, ADDRESSES)
    if networks and not _inside(request.remote_address, networks):
        raise SignatureRefused("the address is on none of the lists", code="bad_address")
    tokens = listed(credentials, TOKENS)
    if tokens and not _one_of(request.token, tokens):
        raise SignatureRefused("the path has no token of the connection", code="bad_token")
    passwords = listed(credentials, PASSWORDS)
    if passwords and not _one_of(_basic(request.headers.get("authorization", "")), passwords):
        raise SignatureRefused("no user and password of the connection", code="bad_password")


def prove(request: "WebhookRequest", credentials: Mapping[str, Any]) -> None:
    """As `check`, where nothing else proves anything: refuses a connection that has neither token nor password."""
    if not shared(credentials):
        raise SignatureRefused("the connection has nothing to check webhooks with", code="no_secret")
    check(request, credentials)


def shared(credentials: Mapping[str, Any]) -> bool:
    """Whether the connection has something that only its provider knows."""
    return bool(listed(credentials, TOKENS, PASSWORDS))


def _one_of(given: str, wanted: list[str]) -> bool:
    return any(compare_digest(given.encode("utf-8", "replace"), one.encode("utf-8", "replace")) for one in wanted)


def _basic(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return from_base64(value.strip()).decode("utf-8", "replace") if scheme.lower() == "basic" else ""


def _inside(address: str, networks: list[str]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in map(_network, networks) if network is not None)


def _network(text: str) -> Any:
    try:
        return ip_network(text, strict=False)
    except ValueError:  # a typing mistake closes the door, it must not open it
        return None
