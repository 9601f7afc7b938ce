"""Which URLs and addresses may be called because a client said so.

Whoever may name a URL could make this host call its own network, a cloud's metadata service or somebody else's
mail server. So a URL is checked by its form when it is stored and again before each call, and the address behind its
name when it is connected to (`permits`, for `sendmsg.http.build_session`), because a name may mean another address by
then. What can't be read in one way only is refused, not repaired: another parser might read it the other way.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

MAX_URL: Final = 2048  # characters; what browsers and proxies agree on
HTTPS_PORTS: Final = frozenset({443, 8443})
HTTP_PORTS: Final = frozenset({80, 8080})

# Space, control characters, what is no ASCII (a name in another script comes as xn--…), what parsers disagree on.
_ODD: Final = re.compile(r"[^!-~]|[\\<>\"^`{|}]|%5c", re.IGNORECASE)
_NAME: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE)

# Beyond what `is_global` knows (https://www.iana.org/assignments/iana-ipv6-special-registry and -ipv4-): ranges that
# reach an IPv4 address inside, or that older Pythons take for public ones.
_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "2001::/23",  # IETF protocol assignments, Teredo and ORCHIDv2 among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, as it once was
        "::/96",  # IPv4-compatible, as it once was
    )
)


class RefusedURL(ValueError):
    """A URL that is not called. `code` is stable, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def check_url(url: str) -> None:
    """Raises `RefusedURL` for what is not called. No name is looked up: `permits` sees its address at the call."""
    if len(url) > MAX_URL:
        raise RefusedURL("url_too_long", f"At most {MAX_URL} characters.")
    if _ODD.search(url):
        raise RefusedURL("url_invalid", "A URL has no spaces, backslashes or letters beyond ASCII.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise RefusedURL("url_invalid", "This is not a URL.") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.CALLBACKS_ALLOW_HTTP):
        raise RefusedURL("url_not_https", "The URL must begin with https://.")
    if "@" in parts.netloc:
        raise RefusedURL("url_credentials", "A URL must hold no user name and no password.")
    if parts.fragment:
        raise RefusedURL("url_invalid", "A URL to call has no fragment.")
    _check_host(host)
    allowed = HTTPS_PORTS if parts.scheme == "https" else HTTP_PORTS
    if port is not None and port not in allowed and not settings.CALLBACKS_ALLOW_PRIVATE:
        raise RefusedURL("url_port", f"The port must be {' or '.join(map(str, sorted(allowed)))}.")


def permits(address: str) -> bool:
    """Whether an IP address may be connected to: a public one, or any where the operator allows private ones."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_multicast or ip.is_unspecified:
        return False
    if settings.CALLBACKS_ALLOW_PRIVATE:
        return True
    return ip.is_global and not any(ip.version == network.version and ip in network for network in _NETWORKS)


def origin(url: str) -> str:
    """Scheme, host and port of a URL that was checked."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _check_host(host: str) -> None:
    private = settings.CALLBACKS_ALLOW_PRIVATE
    if ":" in host or host.replace(".", "").isdigit():
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise RefusedURL("url_host", "An address is written in full: 192.0.2.1 or [2001:db8::1].") from None
        if not permits(host):
            raise RefusedURL("url_private", "This address is not a public one.")
        return
    labels = host.split(".")
    if len(host) > 253 or not all(_NAME.fullmatch(label) for label in labels):
        raise RefusedURL("url_host", "This is no host name.")
    if labels[-1].isdigit() or labels[-1].lower().startswith("0x"):  # resolvers read such a name as an address
        raise RefusedURL("url_host", "An address is written in full: 192.0.2.1 or [2001:db8::1].")
    if not private and (len(labels) == 1 or labels[-1].lower() in ("localhost", "local", "internal")):
        raise RefusedURL("url_private", "This is a name of a private network.")
