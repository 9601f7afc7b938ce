"""The AWS adapter: the common contract, and what is its own."""

import hashlib
import hmac
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import pytest

from dispatch.providers.aws import AWSProvider
from dispatch.providers.base import Outcome, Rejected, Retry, Unavailable, Unknown
from sendmsg.errors import ConfigurationError
from tests.dispatch.providers.case import BODY, TO, message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

REGION = "eu-west-1"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def error(exception: str, headers: Mapping[str, str] | None = None, status: int = 400, **fields: object) -> Fault:
    return json_answer(status, {"__type": exception, "Message": f"{TO} is at fault.", **fields}, headers)


def conflict(reason: str) -> Fault:
    return error("com.amazonaws.pinpointsmsvoicev2#ConflictException", Reason=reason)


def invalid(reason: str, *fields: str) -> Fault:
    return error("ValidationException", Reason=reason, Fields=[{"Name": name, "Message": TO} for name in fields])


def accepted(identifier: object) -> Fault:
    return json_answer(200, {"MessageId": identifier})


def signature(request: Received, signed: str, scope: str) -> str:
    """What AWS computes from a request that arrived: Signature Version 4, without botocore."""
    names = signed.split(";")
    canonical = [request.method, request.path, "", *(f"{name}:{request.headers[name]}" for name in names), "", signed]
    canonical.append(hashlib.sha256(request.body).hexdigest())
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = "\n".join(("AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, digest))
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


class TestAWS(ProviderContract):
    provider = AWSProvider
    credentials: ClassVar[Mapping[str, str]] = {
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": SECRET,
        "region": REGION,
    }
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": invalid("FIELD_VALIDATION_FAILED", "DestinationPhoneNumber"),
        "invalid_sender": json_answer(400, payload("aws/invalid_sender")),
        "unroutable": conflict("DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
        "opted_out": json_answer(400, payload("aws/opted_out")),
        "too_large": invalid("MAXIMUM_SIZE_EXCEEDED"),
        "invalid_request": invalid("CANNOT_PARSE"),
    }
    unauthorized = (
        error("AccessDeniedException", Reason="ACCOUNT_DISABLED"),
        error("com.amazon.coral.service#UnrecognizedClientException"),
        error("InvalidSignatureException", status=403),
        error("ExpiredTokenException"),
    )
    unavailable = (
        answer(503),
        answer(404),
        answer(307),
        error("ServiceQuotaExceededException", Reason="MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
        error("ResourceNotFoundException", ResourceType="configuration-set"),
        conflict("NO_ORIGINATION_IDENTITIES_FOUND"),
    )
    doubtful = (
        error("InternalServerException", status=500),
        error("InternalFailure", status=500),
        answer(502),
        answer(504),
        answer(303),
    )
    idless = (json_answer(200, {}), *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)))

    def accept(self, wire: Wire) -> bool:
        [ours] = self.message_ids(wire.request)
        return accepted(self.provider_id(UUID(ours)))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error("ThrottlingException", headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.json()["Context"]["message_id"]]

    def text(self, request: Received) -> str:
        return str(request.json()["MessageBody"])

    def validity(self, request: Received) -> int | None:
        found: int | None = request.json().get("TimeToLive")
        return found

    def test_the_request_is_what_aws_documents(self, server: FaultServer) -> None:
        one = message(sender="+447700900001", valid_for=600.9)
        config = {**self.credentials, "configuration_set": "receipts"}
        self.adapter(server.url, credentials=config).send([one])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/")
        assert request.headers["content-type"] == "application/x-amz-json-1.0"
        assert request.headers["x-amz-target"] == "PinpointSMSVoiceV2.SendTextMessage"
        assert request.json() == {
            "DestinationPhoneNumber": TO,
            "OriginationIdentity": "+447700900001",
            "MessageBody": BODY,
            "ConfigurationSetName": "receipts",
            "TimeToLive": 600,
            "Context": {"message_id": str(one.message_id)},
        }

    def test_what_is_not_given_is_left_to_the_account(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message(sender="")])

        assert set(server.requests[0].json()) == {"DestinationPhoneNumber", "MessageBody", "Context"}

    @pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjEXAMPLETOKEN"])
    def test_what_arrives_has_the_signature_that_aws_computes(self, server: FaultServer, token: str | None) -> None:
        keys = {**self.credentials, **({"session_token": token} if token else {})}
        self.adapter(server.url, credentials=keys).send([message(body="É€😀")])

        (request,) = server.requests
        [[credential, signed, given]] = re.findall(
            r"^AWS4-HMAC-SHA256 Credential=(.+), SignedHeaders=(.+), Signature=(.+)$", request.headers["authorization"]
        )
        key, _, scope = credential.partition("/")
        assert key == self.credentials["access_key_id"]
        assert scope == f"{datetime.now(UTC):%Y%m%d}/{REGION}/sms-voice/aws4_request"
        assert {"content-type", "host", "x-amz-date", "x-amz-target"} <= set(signed.split(";"))
        assert given == signature(request, signed, scope)
        assert request.headers.get("x-amz-security-token") == token
        assert ("x-amz-security-token" in signed) == bool(token)

    def test_a_session_token_is_not_logged(self, server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        self.adapter(server.url, credentials={**self.credentials, "session_token": "IQoJb3JpZ2lu"}).send([message()])

        assert "IQoJb3JpZ2lu" not in caplog.text

    def test_keys_of_the_environment_are_not_used(self, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
            monkeypatch.setenv(name, "of-the-environment")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        self.adapter(server.url).send([message()])

        assert "of-the-environment" not in str(server.requests[0].headers)

    @pytest.mark.parametrize("name", ["session_token", "configuration_set"])
    def test_what_may_be_left_out_may_not_be_malformed(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=name):
            self.adapter("http://127.0.0.1", credentials={**self.credentials, name: ""})

    def test_a_missing_package_is_a_configuration_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "botocore.auth", None)

        with pytest.raises(ConfigurationError, match="pip install botocore"):
            self.adapter("http://127.0.0.1")

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (invalid("DESTINATION_COUNTRY_BLOCKED"), Unavailable("unroutable", "", None)),
            (invalid("SENDER_ID_NOT_REGISTERED"), Rejected("invalid_sender", "")),
            (invalid("A_REASON_FROM_THE_FUTURE"), Rejected("invalid_request", "")),
            (invalid("FIELD_VALIDATION_FAILED", "ConfigurationSetName"), Unavailable("misconfigured", "", None)),
            (conflict("DESTINATION_PHONE_NUMBER_NOT_VERIFIED"), Unavailable("unroutable", "", None)),
            (conflict("A_REASON_FROM_THE_FUTURE"), Unavailable("misconfigured", "", None)),
            (error("ResourceNotFoundException", ResourceType="sender-id"), Rejected("invalid_sender", "")),
            (error("ServiceQuotaExceededException"), Unavailable("out_of_credit", "", None)),
            (error("SomethingElse"), Rejected("invalid_request", "")),
            (error("SomethingElse", status=500), Unknown("server_error", "")),
            (error("ThrottlingException", {"Retry-After": "3"}), Retry("throttled", "", 3.0)),
            (error(TO), Rejected("invalid_request", "")),
            (json_answer(400, {"__type": 7, "Reason": [], "Fields": {}}), Rejected("invalid_request", "")),
        ],
    )
    def test_a_reason_decides_and_else_the_exception(
        self, server: FaultServer, fault: Fault, expected: Outcome
    ) -> None:
        outcome = self.outcome(server, fault)

        assert type(outcome) is type(expected)
        assert getattr(outcome, "code", None) == getattr(expected, "code", "")
        assert getattr(outcome, "after", None) == getattr(expected, "after", None)
        assert TO not in getattr(outcome, "detail", TO)
