"""AWS End User Messaging SMS (API version 2022-03-31): SendTextMessage, one signed JSON POST per message.

AWS takes no idempotency key and has no way to ask for a message, so an unknown outcome must not be repeated. `Context`
carries our message id into its events, which go where the configuration set says: no URL is given with a message.

Only the signature is botocore's (Signature Version 4). The call is our own client's, so nothing is read from AWS's
environment variables, files or metadata service, nothing is repeated, and all limits hold.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dispatch.providers.answers import Answer, ask
from dispatch.providers.base import (
    Accepted,
    Capabilities,
    ConnectionConfig,
    HttpProvider,
    Outbound,
    Outcome,
    Rejected,
    Retry,
    Unavailable,
    Unknown,
    Verdict,
    provider_id,
    word,
)
from dispatch.providers.tables import Code, ErrorTable
from sendmsg.errors import ConfigurationError

# botocore writes the headers that it signs to its log, a session token among them.
logging.getLogger("botocore.auth").setLevel(logging.ERROR)

_KEYS: Final = ("UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "AccessDeniedException")
_SIGNATURE: Final = ("InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "RequestExpired")
_COUNTRY: Final = (
    "COUNTRY_NOT_ENABLED",
    "DESTINATION_COUNTRY_BLOCKED",
    "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION",
    "INTERNATIONAL_SENDING_NOT_SUPPORTED",
)
_SENDER: Final = (
    "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY",
    "NUMBER_CAPABILITIES_MISMATCH",
    "SENDER_ID_NOT_REGISTERED",
    "SENDER_ID_NOT_SUPPORTED",
    "SENDER_ID_REQUIRES_REGISTRATION",
)

_ROWS: Final[dict[Code, Verdict]] = {
    # By exception; most come with HTTP 400.
    **dict.fromkeys((*_KEYS, *_SIGNATURE, "OptInRequired"), Verdict(Unavailable, "unauthorized")),
    **dict.fromkeys(("ConflictException", "ResourceNotFoundException"), Verdict(Unavailable, "misconfigured")),
    "InternalServerException": Verdict(Unknown, "server_error"),
    "ServiceQuotaExceededException": Verdict(Unavailable, "out_of_credit"),  # what the account may spend in a month
    "ThrottlingException": Verdict(Retry, "throttled"),
    "ValidationException": Verdict(Rejected, "invalid_request"),
    # By reason, where one decides more than its exception.
    **dict.fromkeys(_COUNTRY, Verdict(Unavailable, "unroutable")),  # a rule of this account; another may go there
    **dict.fromkeys(_SENDER, Verdict(Rejected, "invalid_sender")),
    **dict.fromkeys(("CHANNEL_NOT_ENABLED", "RESOURCE_NOT_ACCESSIBLE"), Verdict(Unavailable, "misconfigured")),
    "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE": Verdict(Rejected, "unroutable"),
    "DESTINATION_PHONE_NUMBER_NOT_VERIFIED": Verdict(Unavailable, "unroutable"),  # a new account's limit
    "DESTINATION_PHONE_NUMBER_OPTED_OUT": Verdict(Rejected, "opted_out"),
    "MAXIMUM_SIZE_EXCEEDED": Verdict(Rejected, "too_large"),
    # By the field that is invalid, or the kind of resource that is not there.
    "ConfigurationSetName": Verdict(Unavailable, "misconfigured"),
    "DestinationPhoneNumber": Verdict(Rejected, "invalid_recipient"),
    **dict.fromkeys(("OriginationIdentity", "phone-number", "sender-id"), Verdict(Rejected, "invalid_sender")),
}
_ERRORS: Final = ErrorTable(_ROWS)


class AWSProvider(HttpProvider):
    """Credentials: `access_key_id`, `secret_access_key`, `region`, and `session_token` and `configuration_set` if any.

    The base URL is the region's: https://sms-voice.eu-west-1.amazonaws.com. Needs the package botocore.
    """

    slug: ClassVar[str] = "aws"
    capabilities: ClassVar[Capabilities] = Capabilities(
        channels=frozenset({"sms"}),
        validity=(5, 259_200),  # `TimeToLive`; 72 hours are the default too
        max_body=1_600,
    )

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._url = f"{self.base_url}/"
        self._common = {}
        if "configuration_set" in config.credentials:
            self._common["ConfigurationSetName"] = config.credential("configuration_set")
        try:
            from botocore.auth import SigV4Auth  # noqa: PLC0415 - an optional package, and slow to import
            from botocore.awsrequest import AWSRequest  # noqa: PLC0415
            from botocore.credentials import Credentials  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError(
                f"Connection {config.name}: AWS needs the package botocore; install it with: pip install botocore"
            ) from None
        token = config.credential("session_token") if "session_token" in config.credentials else None
        keys = Credentials(config.credential("access_key_id"), config.credential("secret_access_key"), token)
        self._signer = SigV4Auth(keys, "sms-voice", config.credential("region"))
        self._request = AWSRequest

    def attempt(self, message: Outbound) -> Outcome:
        body = json.dumps(self._submission(message)).encode()
        return _outcome(ask(self.http, "POST", self._url, self._signed(body), body=body))

    def _signed(self, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
        }
        request = self._request("POST", self._url, headers=headers, data=body)
        self._signer.add_auth(request)
        return dict(request.headers.items())

    def _submission(self, message: Outbound) -> Mapping[str, Any]:
        submission: dict[str, Any] = {
            "DestinationPhoneNumber": message.to,
            "MessageBody": message.body,
            "Context": {"message_id": str(message.message_id)},
            **self._common,
        }
        if message.sender:
            submission["OriginationIdentity"] = message.sender
        validity = self.capabilities.validity_of(message.valid_for)
        if validity is not None:
            submission["TimeToLive"] = validity
        return submission


def _outcome(answer: Answer) -> Outcome:
    given = provider_id(answer.at("MessageId"))
    if answer.succeeded and given is not None:
        return Accepted((given,))
    exception = answer.at("__type")
    exception = word(exception.rpartition("#")[2]) if isinstance(exception, str) else None
    told = (answer.at("Reason"), answer.at("Fields", 0, "Name"), answer.at("ResourceType"))
    exact = next((code for code in told if isinstance(code, str) and code in _ROWS), None)
    return answer.outcome(_ERRORS, exact or exception)
