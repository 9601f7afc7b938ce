"""Messages of Amazon SNS over HTTPS: whose topic they are of, who signed them, and whether we asked for them.

    {"Type": "Notification", "MessageId": "…", "TopicArn": "arn:aws:sns:…", "Message": "…", "Timestamp": "…",
     "SignatureVersion": "2", "Signature": "base64 RSA(…)", "SigningCertURL": "https://sns.<region>.amazonaws.com/…pem"}

The certificate is fetched once from an SNS host of AWS, over TLS that is verified, and kept. While it can't be had
nothing is taken and nothing refused: `VerifierUnavailable`, and SNS comes again. Anybody's SNS can sign with it, so the
topic decides: only those of the connection count.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from sendmsg.errors import CallFailed, SignatureRefused, VerifierUnavailable
from sendmsg.http import HttpClient, build_session
from webhooks.inbound import reading, signatures

LATE: Final = 3_900  # seconds; SNS repeats an HTTPS delivery for up to an hour, with its first timestamp
MAX_CERTIFICATE: Final = 16_384  # bytes; real ones have about 2,000
MAX_KEPT: Final = 16  # certificates; there is one a region, and a new one each year

_HOST: Final = re.compile(r"sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?")
_PATH: Final = re.compile(r"/SimpleNotificationService-[0-9a-f]{16,64}\.pem")
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
"""The fields that a signature covers, in their order, by the type of the message."""

_HASHES: Final[Mapping[str, type[HashAlgorithm]]] = {"1": SHA1, "2": SHA256}


@cache
def client() -> HttpClient:
    """Made when it is first needed. It is used within requests, so a call may take 3 seconds at most."""
    return build_session(
        connect_timeout=2, read_timeout=2, total_timeout=3, pool_size=4, max_response_bytes=MAX_CERTIFICATE
    )


class Certificates:
    """The keys of SNS by the URL of their certificate, kept for the life of the process."""

    def __init__(self) -> None:
        self._kept: dict[str, x509.Certificate] = {}

    def key(self, url: object, at: datetime) -> RSAPublicKey:
        """Raises `SignatureRefused` for a URL or a certificate that is none of SNS's, and `VerifierUnavailable`."""
        if not isinstance(url, str) or not is_of_sns(url) or not _PATH.fullmatch(urlsplit(url).path):
            raise SignatureRefused("the certificate is not at an SNS host", code="bad_signature")
        certificate = self._kept.get(url)
        if certificate is None:
            certificate = _certificate(fetch(url))
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[url] = certificate
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise SignatureRefused("the certificate has no RSA key", code="bad_signature")
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise SignatureRefused("the certificate is not valid now", code="bad_signature")
        return key


def verify(document: Mapping[str, Any], topics: list[str], at: datetime, certificates: Certificates) -> None:
    """Return if SNS signed this for one of the topics, not too long ago."""
    names = SIGNED.get(reading.text(document.get("Type")))
    values = {name: document[name] for name in names or () if document.get(name) is not None}
    if names is None or not all(isinstance(value, str) for value in values.values()):
        raise SignatureRefused("no message of SNS", code="bad_signature")
    if document.get("TopicArn") not in topics:
        raise SignatureRefused("the topic is none of the connection's", code="bad_topic")
    algorithm = _HASHES.get(reading.text(document.get("SignatureVersion")))
    if algorithm is None:
        raise SignatureRefused("the signature's version is unknown", code="bad_signature")
    key = certificates.key(document.get("SigningCertURL"), at)
    signed = "".join(f"{name}\n{values[name]}\n" for name in names if name in values)
    signature = signatures.from_base64(reading.text(document.get("Signature")))
    try:
        key.verify(signature, signed.encode("utf-8", "replace"), PKCS1v15(), algorithm())
    except InvalidSignature:
        raise SignatureRefused("no signature matches", code="bad_signature") from None
    sent = reading.moment(document.get("Timestamp"), datetime.fromtimestamp(0, UTC))
    signatures.check_age((at - sent).total_seconds(), LATE)


def is_of_sns(url: str) -> bool:
    """Whether the URL leads to SNS itself, by TLS, on the usual port and without a user name."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and _HOST.fullmatch(parts.netloc) is not None and url.isascii()


def fetch(url: str) -> bytes:
    """What is there; raises `VerifierUnavailable` for anything but a 200."""
    try:
        answer = client().request("GET", url)
    except CallFailed as error:
        raise VerifierUnavailable(f"SNS: {error.code}") from None
    if answer.status != 200:
        raise VerifierUnavailable(f"SNS: HTTP {answer.status}")
    return answer.body


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise VerifierUnavailable("SNS: no certificate") from None
