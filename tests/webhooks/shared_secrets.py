"""For providers that sign only where they were asked to: without that, a path token or a password must do."""

import base64
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from webhooks.inbound.base import InboundProvider, Proof, WebhookRequest


class SharedSecrets:
    inbound: ClassVar[Any]
    examples: ClassVar[Any]

    def bare(self) -> WebhookRequest:
        request: WebhookRequest = self.unsigned(self.examples[0])  # type: ignore[attr-defined]  # of the contract
        return request

    def with_password(self, text: str) -> WebhookRequest:
        header = "Basic " + base64.b64encode(text.encode()).decode()
        return replace(self.bare(), headers={"authorization": header})

    def reason(self, request: WebhookRequest, credentials: dict[str, Any]) -> str:
        code: str = self.refused(request, credentials)  # type: ignore[attr-defined]  # of the contract
        return code

    def test_a_token_in_the_path_is_enough_without_a_signature(self) -> None:
        inbound: InboundProvider = self.inbound
        credentials = {"webhook_tokens": ["new-token", "token"]}

        for token in ("token", "new-token"):
            assert inbound.verify(replace(self.bare(), token=token), credentials) == ""
        for token in ("", "toke", "tokens", "é"):
            assert self.reason(replace(self.bare(), token=token), credentials) == "bad_token"
        assert inbound.proof(credentials) is Proof.SHARED

    def test_a_password_is_enough_without_a_signature(self) -> None:
        inbound: InboundProvider = self.inbound
        credentials = {"webhook_basic": ["alice:secret", "alice:older"]}

        for text in ("alice:secret", "alice:older"):
            assert inbound.verify(self.with_password(text), credentials) == ""
        for text in ("alice:", "bob:secret", "alice:secre", "", "é"):
            assert self.reason(self.with_password(text), credentials) == "bad_password"
        assert self.reason(self.bare(), credentials) == "bad_password"
        assert inbound.proof(credentials) is Proof.SHARED

    def test_addresses_alone_prove_nothing(self) -> None:
        credentials = {"webhook_addresses": ["192.0.2.0/24"]}

        assert self.reason(replace(self.bare(), remote_address="192.0.2.1"), credentials) == "no_secret"
        assert self.inbound.proof(credentials) is Proof.NONE

    @pytest.mark.parametrize("extra", [{"webhook_tokens": ["token"]}, {"webhook_basic": ["alice:secret"]}])
    def test_with_secrets_the_signature_is_asked_for_all_the_same(self, extra: dict[str, Any]) -> None:
        credentials = {"webhook_secrets": ["x"], **extra}

        assert self.reason(replace(self.with_password("alice:secret"), token="token"), credentials) in {
            "bad_signature",
            "bad_timestamp",
        }
        assert self.inbound.proof(credentials) is Proof.SIGNED
