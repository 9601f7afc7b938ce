"""What every provider's side of the webhooks must do, whoever it is: one class to inherit, an oracle to agree with.

The oracle is the provider's own SDK where that has a validator. A test class says how to sign, and what is covered.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused, VerifierUnavailable
from tests.fixtures import raw
from webhooks.inbound.base import InboundProvider, Parsed, Payload, Proof, WebhookRequest

NOW = datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)
URL = "https://sendmsg.example/webhooks"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
SECRET, OLD, WRONG = "a-secret-of-the-tests", "a-retired-secret", "somebody-elses"

inherited = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow], max_examples=60)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True)
class Example:
    """A payload of the fixtures, and how it travels."""

    name: str
    method: str = "POST"
    extra_query: str = ""

    @property
    def content_type(self) -> str:
        return FORM if self.name.endswith(".form") else JSON

    @property
    def body(self) -> bytes:
        return raw(self.name) if self.method == "POST" else b""

    @property
    def query(self) -> str:
        given = raw(self.name).decode() if self.method == "GET" else ""
        return "&".join(part for part in (given, self.extra_query) if part)


class InboundContract:
    inbound: ClassVar[InboundProvider]
    examples: ClassVar[tuple[Example, ...]]
    signature_headers: ClassVar[tuple[str, ...]]
    covers_body: ClassVar[bool] = True
    covers_query: ClassVar[bool] = True
    covers_path: ClassVar[bool] = True
    timed: ClassVar[bool] = False

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        """The request with its signature, as at `request.at`."""
        raise NotImplementedError

    def oracle(self, request: WebhookRequest) -> bool | None:
        """What the provider's own validator says; None where there is none, or where it looks at less than we do."""
        return None

    def meaning(self, header: str) -> object:
        """A signature's header without what doesn't count in it."""
        return header

    def credentials(self, *secrets: str) -> dict[str, Any]:
        return {"webhook_secrets": list(secrets)}

    def unsigned(self, example: Example, at: datetime = NOW) -> WebhookRequest:
        query = example.query
        return WebhookRequest(
            headers={"content-type": example.content_type, "host": "attacker.example"},
            body=example.body,
            at=at,
            method=example.method,
            url=f"{URL}/{self.inbound.slug}/main{'?' if query else ''}{query}",
            query=query,
        )

    def signed(self, example: Example | None = None, secret: str = SECRET, at: datetime = NOW) -> WebhookRequest:
        return self.sign(self.unsigned(example or self.examples[0], at), secret)

    def refused(self, request: WebhookRequest, credentials: Mapping[str, Any] | None = None) -> str:
        """The reason why it is refused."""
        with pytest.raises(SignatureRefused) as caught:
            self.inbound.verify(request, self.credentials(SECRET) if credentials is None else credentials)
        return caught.value.code

    def verdict(self, request: WebhookRequest) -> bool:
        """Whether it is taken."""
        try:
            self.inbound.verify(request, self.credentials(SECRET))
        except (SignatureRefused, VerifierUnavailable):
            return False
        return True

    def parse(self, name: str, **changes: Any) -> Parsed:
        """What a fixture says, fields of its top level changed."""
        example = Example(name)
        body = example.body
        if changes:
            body = json.dumps({**json.loads(body), **changes}).encode()
        return self.inbound.parse(Payload(body, NOW, "POST", "", example.content_type))

    def test_every_example_is_accepted_and_read(self) -> None:
        for example in self.examples:
            request = self.signed(example)
            assert self.oracle(request) in (True, None), example
            self.inbound.verify(request, self.credentials(SECRET))
            assert isinstance(self.inbound.parse(request.payload), Parsed)

    def test_while_a_secret_is_changed_either_is_accepted(self) -> None:
        for secret in (SECRET, OLD):
            self.inbound.verify(self.signed(secret=secret), self.credentials(SECRET, OLD))

    def test_a_retired_or_a_foreign_secret_is_refused(self) -> None:
        for secret in (OLD, WRONG):
            assert self.refused(self.signed(secret=secret)) in {"bad_signature", "bad_topic"}

    @pytest.mark.parametrize("secrets", [None, [], [""], [None], [7], "", {}], ids=repr)
    def test_a_connection_without_secrets_takes_nothing(self, secrets: Any) -> None:
        name = self.inbound.secret_names[0]
        assert self.refused(self.signed(), {name: secrets}) == "no_secret"
        assert self.inbound.proof({name: secrets}) is Proof.NONE
        assert self.inbound.proof(self.credentials(SECRET)) is Proof.SIGNED

    def test_what_is_not_signed_is_refused(self) -> None:
        for example in self.examples:
            assert self.refused(self.unsigned(example)) in {"bad_signature", "bad_timestamp"}

    @inherited
    @given(st.data())
    def test_a_changed_signature_is_refused(self, data: st.DataObject) -> None:
        request = self.signed(data.draw(st.sampled_from(self.examples)))
        name = data.draw(st.sampled_from(self.signature_headers))
        changed = _changed(data, request.headers[name])
        assume(self.meaning(changed) != self.meaning(request.headers[name]))

        assert self.refused(replace(request, headers={**request.headers, name: changed}))

    @inherited
    @given(st.data())
    def test_a_changed_body_is_judged_as_the_oracle_does(self, data: st.DataObject) -> None:
        request = self.signed(data.draw(st.sampled_from([one for one in self.examples if one.method == "POST"])))
        changed = bytearray(request.body)
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 127))
        request = replace(request, body=bytes(changed))

        said = self.oracle(request)
        assert self.verdict(request) == (self.accepts_body(request) if said is None else said)

    def accepts_body(self, request: WebhookRequest) -> bool:
        """Of a changed body, where the oracle says nothing."""
        return not self.covers_body

    @inherited
    @given(st.data(), st.sampled_from(["&x=1", "&status=failed", "&MessageStatus=failed", "&a&b", "&e=%26%3D"]))
    def test_an_extended_query_is_judged_by_what_is_covered(self, data: st.DataObject, more: str) -> None:
        request = self.signed(data.draw(st.sampled_from(self.examples)))
        query = f"{request.query}{more}".removeprefix("&")
        request = replace(request, query=query, url=f"{request.url.partition('?')[0]}?{query}")

        said = self.oracle(request)
        assert self.verdict(request) == (not self.covers_query if said is None else said)

    def test_the_url_of_another_connection_is_refused_where_it_is_covered(self) -> None:
        request = self.signed()
        request = replace(request, url=request.url.replace("/main", "/other"))

        assert self.verdict(request) is not self.covers_path

    @pytest.mark.parametrize("seconds", [-299, 0, 299])
    def test_a_clock_that_is_off_a_little_is_accepted(self, seconds: int) -> None:
        request = self.signed()
        self.inbound.verify(replace(request, at=NOW + timedelta(seconds=seconds)), self.credentials(SECRET))

    def test_what_was_signed_long_ago_or_is_to_come_is_refused_where_there_is_a_time(self) -> None:
        for seconds in (-86_400, -400, 86_400):
            request = replace(self.signed(), at=NOW + timedelta(seconds=seconds))
            if self.timed:
                assert self.refused(request) == "stale_timestamp"
            else:
                assert self.verdict(request)

    @inherited
    @given(st.binary(max_size=80), st.sampled_from([JSON, FORM, "", "text/plain", "x" * 50]), st.text(max_size=20))
    def test_any_bytes_are_read_or_malformed(self, body: bytes, kind: str, query: str) -> None:
        for method in ("POST", "GET"):
            self._read(Payload(body, NOW, method, query, kind))

    @inherited
    @given(st.data())
    def test_an_example_with_any_value_anywhere_is_read_or_malformed(self, data: st.DataObject) -> None:
        example = data.draw(st.sampled_from(self.examples))
        text = raw(example.name)
        if example.content_type == FORM:
            form = dict(parse_qsl(text.decode()))
            form[data.draw(st.sampled_from(sorted(form)))] = data.draw(st.text(st.characters(codec="utf-8")))
            self._read(Payload(urlencode(form).encode(), NOW, "POST", "", FORM))
        else:
            document = json.loads(text)
            _spoil(data, document)
            self._read(Payload(json.dumps(document).encode(), NOW, "POST", "", JSON))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b'"x"',
            b"\xff\xfe",
            b'{"id": "\xff"}',
            b"[" * 1_000,
            b"[" * 100_000,
            b'{"data":' * 1_000 + b"1" + b"}" * 1_000,
            b'{"results": ' + b"9" * 10_000 + b"}",
            b'{"nothing": "known"}',
        ],
        ids=lambda body: repr(body[:20]),
    )
    def test_what_can_not_be_read_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedWebhook):
            self.inbound.parse(Payload(body, NOW, "POST", "", JSON))

    def test_a_form_with_a_million_fields_is_malformed(self) -> None:
        with pytest.raises(MalformedWebhook):
            self.inbound.parse(Payload(b"a=1&" * 100_000, NOW, "POST", "", FORM))

    def _read(self, payload: Payload) -> None:
        try:
            parsed = self.inbound.parse(payload)
        except MalformedWebhook:
            return
        for receipt in parsed.receipts:
            assert 0 < len(receipt.provider_id) <= 128
            assert len(receipt.error_code) <= 60
            assert isinstance(receipt.status, ReceiptStatus)
            assert receipt.at.tzinfo is not None
        for message in parsed.messages:
            texts = [message.body, message.sender, message.to, *(one.reference for one in message.media)]
            assert not any("\0" in text for text in texts)
            assert "".join(texts).encode()
            assert 0 < len(message.provider_id) <= 128
            assert max(len(message.sender), len(message.to)) <= 32
            assert message.received_at.tzinfo is not None
            assert isinstance(message.channel, Channel)


def _spoil(data: st.DataObject, document: Any) -> None:
    """Walk down at random, and put anything there."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(document[key], dict | list) or not document[key] or data.draw(st.booleans()):
            document[key] = data.draw(JSON_VALUES)
            return
        document = document[key]


def _changed(data: st.DataObject, text: str) -> str:
    """The text with one character changed, left out or added."""
    place = data.draw(st.integers(0, max(len(text) - 1, 0)))
    other = data.draw(st.sampled_from(["", text[place] + "A", "A", "0", "é", "🎉", "=", " "]))
    changed = text[:place] + other + text[place + 1 :]
    assume(changed != text)
    return changed
