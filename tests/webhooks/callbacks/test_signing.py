"""What we sign, the official verifier accepts; whatever is changed on the way, it refuses."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks.callbacks import signing
from webhooks.callbacks.models import Endpoint

# The package raises these for headers and bodies that can't even be read: a receiver treats them alike.
REFUSALS = (WebhookVerificationError, ValueError, binascii.Error)
BODY = '{"type":"message.sent","data":{"to":"+447700900000","name":"Åse"}}'

secrets = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())


def accepts(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except REFUSALS:
        return False
    return True


def test_a_secret_has_the_form_of_the_spec() -> None:
    secret = signing.mint()

    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    assert secret != signing.mint()


@given(secrets, st.text(max_size=300), st.uuids())
def test_what_we_sign_is_accepted(secret: str, body: str, event_id: UUID) -> None:
    headers = signing.headers(event_id, body, [secret], datetime.now(UTC))

    assert accepts(secret, headers, body.encode())


@given(st.data())
def test_whatever_is_changed_on_the_way_is_refused(data: st.DataObject) -> None:
    secret = data.draw(secrets)
    headers = signing.headers(uuid4(), BODY, [secret], datetime.now(UTC))
    name = data.draw(st.sampled_from(["body", "secret", *headers]))
    if name == "secret":
        other = data.draw(secrets)
        assume(other != secret)
        assert not accepts(other, headers, BODY.encode())
        return
    original = BODY.encode() if name == "body" else headers[name].encode()
    changed = mutate(data, original)
    if name == "webhook-signature":  # padding bits of base64 say nothing, and another version is passed over
        assume(signatures(changed) != signatures(original))
    if name == "webhook-timestamp":  # read as a number: another spelling of the same second is the same
        assume(number(changed) != number(original))
    if name == "body":
        assert not accepts(secret, headers, changed)
    else:
        assert not accepts(secret, {**headers, name: changed.decode("latin-1")}, BODY.encode())


def mutate(data: st.DataObject, original: bytes) -> bytes:
    """One byte changed, removed or added."""
    place = data.draw(st.integers(0, len(original) - 1))
    byte = bytes([data.draw(st.integers(33, 126))])
    changed: bytes = data.draw(
        st.sampled_from(
            [
                original[:place] + byte + original[place + 1 :],
                original[:place] + original[place + 1 :],
                original[:place] + byte + original[place:],
            ]
        )
    )
    assume(changed != original)
    return changed


def signatures(header: bytes) -> Any:
    version, _, signature = header.partition(b",")
    try:
        return version, base64.b64decode(signature)
    except binascii.Error:
        return header


def number(header: bytes) -> float | None:
    try:
        return int(float(header))
    except (ValueError, OverflowError):
        return None


@pytest.mark.parametrize(("age", "accepted"), [(-299, True), (299, True), (-302, False), (302, False)])
def test_the_timestamp_is_the_time_of_the_call(age: int, accepted: bool) -> None:
    secret = signing.mint()
    at = datetime.now(UTC) + timedelta(seconds=age)

    assert accepts(secret, signing.headers(uuid4(), BODY, [secret], at), BODY.encode()) is accepted


def test_an_old_secret_signs_beside_the_new_one_for_a_day() -> None:
    now, endpoint = datetime.now(UTC), Endpoint()
    first = signing.start(endpoint)
    second = signing.rotate(endpoint, now)

    assert signing.active(endpoint, now + timedelta(hours=23, minutes=59)) == (second, first)
    assert signing.active(endpoint, now + timedelta(hours=24)) == (second,)
    headers = signing.headers(uuid4(), BODY, [second, first], now)
    assert [accepts(secret, headers, BODY.encode()) for secret in (first, second)] == [True, True]


def test_several_rotations_within_a_day_keep_the_latest_secrets() -> None:
    now, endpoint = datetime.now(UTC), Endpoint()
    made = [signing.start(endpoint), *(signing.rotate(endpoint, now + timedelta(hours=hour)) for hour in range(6))]

    assert signing.active(endpoint, now + timedelta(hours=6)) == tuple(reversed(made[-5:]))
