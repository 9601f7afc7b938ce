"""Who may tell us what became of a message, and what a provider's words mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused
from tests.webhooks.provider import report, signature
from webhooks.inbound.base import InboundMessage, Payload, ReportedReceipt, WebhookRequest
from webhooks.inbound.sendmsg import SendMSGInbound

INBOUND = SendMSGInbound()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
SECRET, OLD, WRONG = "receipt-secret", "retired-secret", "somebody-elses"
BODY = (
    b'{"event_id":"evt_5f0c4a7e9b2d4c6f8a1e3b5d7f9c0a2e","type":"receipt","id":"snd_9a1b2c3d4e5f60718293a4b5c6d7e8f9",'
    b'"status":"delivered","error_code":null,"at":"2026-01-01T00:00:00.000Z"}'
)
GOOD = signature(SECRET, STAMP, BODY)
HEX = GOOD.removeprefix("v1=")


def verify(
    signatures: str | None = GOOD,
    *,
    stamp: str | None = STAMP,
    body: bytes = BODY,
    at: datetime = NOW,
    credentials: Any = None,
) -> None:
    given = {"sendmsg-timestamp": stamp, "sendmsg-signature": signatures}
    headers = {name: value for name, value in given.items() if value is not None}
    INBOUND.verify(WebhookRequest(headers, body, at), credentials or {"webhook_secrets": [SECRET]})


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(*args, **kwargs)
    return caught.value.code


def parse(body: bytes) -> ReportedReceipt:
    [receipt] = INBOUND.parse(Payload(body, NOW)).receipts
    return receipt


def test_the_example_of_the_protocol_is_accepted() -> None:
    assert HEX == "65149851397ae0c73b08b695f8b5f9192f25c0e9a9d6161165aab9cbf3dd2a69"
    verify()


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        "",
        "v1=",
        "v1",
        ",,,",
        HEX,
        f"v2={HEX}",
        f"V1={HEX}",
        f"v1={HEX.upper()}",
        f"v1={HEX[:-1]}",
        f"v1={HEX[:32]}",
        f"v1={HEX}0",
        f"v1=v1={HEX}",
        f"v1={HEX[:30]} {HEX[30:]}",
        "v1=é" + HEX[1:],
        "v1=" + "ü" * 64,
        "v1=\ud800" + HEX[1:],
        f"v1={'0' * 64}",
        signature(WRONG, STAMP, BODY),
        signature("", STAMP, BODY),
        signature(SECRET, "", BODY),
        signature(SECRET, str(int(STAMP) + 1), BODY),
        signature(SECRET, STAMP, b""),
    ],
)
def test_any_other_signature_is_refused(signatures: str | None) -> None:
    assert refusal(signatures) == "bad_signature"


@pytest.mark.parametrize(
    "stamp", [None, "", "now", "-1", "+1", "1.5", "1e9", "0x10", " 1", "١٢٣", "²", "9" * 13, "1767225600\n"]
)
def test_a_timestamp_that_is_no_plain_number_is_refused(stamp: str | None) -> None:
    assert refusal(signature(SECRET, stamp or "", BODY), stamp=stamp) == "bad_timestamp"


@pytest.mark.parametrize("seconds", [-300, -299, -1, 0, 1, 299, 300])
def test_a_clock_that_is_off_by_up_to_five_minutes_is_accepted(seconds: int) -> None:
    verify(at=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-86_400, -301, 301, 86_400])
def test_more_than_five_minutes_are_refused_either_way(seconds: int) -> None:
    assert refusal(at=NOW + timedelta(seconds=seconds)) == "stale_timestamp"


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_while_a_secret_is_changed_either_is_accepted(secret: str) -> None:
    verify(signature(secret, STAMP, BODY), credentials={"webhook_secrets": [SECRET, OLD]})


@pytest.mark.parametrize("order", [(SECRET, WRONG), (WRONG, SECRET), (WRONG, WRONG, SECRET)])
@pytest.mark.parametrize("separator", [",", ", ", " , "])
def test_of_several_signatures_one_that_fits_is_enough(order: tuple[str, ...], separator: str) -> None:
    verify(separator.join(signature(secret, STAMP, BODY) for secret in order))


def test_a_retired_secret_is_refused() -> None:
    assert refusal(signature(OLD, STAMP, BODY)) == "bad_signature"


@pytest.mark.parametrize("secrets", [None, [], [""], [None], [7], "", SECRET, {SECRET: True}, {}], ids=repr)
def test_a_connection_without_a_proper_list_of_secrets_takes_nothing(secrets: Any) -> None:
    for key in ("", *set(SECRET), SECRET, "None", "7"):
        code = refusal(signature(key, STAMP, BODY), credentials={"api_key": "x", "webhook_secrets": secrets})
        assert code == "no_secret"


@pytest.mark.parametrize("credentials", [{"api_key": "x"}, ["webhook_secrets"], "webhook_secrets"])
def test_credentials_that_name_no_secrets_take_nothing(credentials: Any) -> None:
    assert refusal(credentials=credentials) == "no_secret"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(json.loads(BODY)).encode(),
        BODY + b" ",
        BODY + b"\n",
        b"\xef\xbb\xbf" + BODY,
        BODY.replace(b"delivered", b"deliver\\u0065d"),
        b"",
    ],
)
def test_a_body_that_only_means_the_same_is_refused(body: bytes) -> None:
    assert refusal(body=body) == "bad_signature"


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(1, 255))
def test_one_changed_byte_of_the_body_is_refused(body: bytes, position: int, change: int) -> None:
    changed = bytearray(body)
    changed[position % len(body)] ^= change

    assert refusal(signature(SECRET, STAMP, body), body=bytes(changed)) == "bad_signature"


@given(st.integers(0), st.characters(max_codepoint=255))
def test_one_changed_character_of_the_timestamp_is_refused(position: int, character: str) -> None:
    position %= len(STAMP)
    changed = STAMP[:position] + character + STAMP[position + 1 :]

    if changed != STAMP:
        assert refusal(stamp=changed) in {"bad_timestamp", "stale_timestamp", "bad_signature"}


@given(st.integers(0), st.characters(max_codepoint=255))
def test_one_changed_character_of_the_signature_is_refused(position: int, character: str) -> None:
    position %= len(GOOD)
    changed = GOOD[:position] + character + GOOD[position + 1 :]

    if changed != GOOD:
        assert refusal(changed) == "bad_signature"


def test_a_receipt_is_read() -> None:
    body = report("snd_1", "undelivered", error_code="absent_subscriber", at="2026-01-01T01:02:03.5+01:00")

    assert parse(body) == ReportedReceipt(
        provider_id="snd_1",
        status=ReceiptStatus.UNDELIVERED,
        error_code="absent_subscriber",
        at=datetime(2026, 1, 1, 0, 2, 3, 500_000, tzinfo=UTC),
    )


def test_a_message_is_read() -> None:
    body = report(
        "rcv_1",
        type="message",
        to="+447700900001",
        body="Yes\0 please \ud83d",
        channel="whatsapp",
        at="2026-01-01T00:00:00Z",
        **{"from": "+447700900000"},
    )

    assert INBOUND.parse(Payload(body, NOW)).messages == (
        InboundMessage("rcv_1", "+447700900000", "+447700900001", "Yes� please ?", Channel.WHATSAPP, NOW),
    )


@pytest.mark.parametrize("word", ["sent", "delivered", "undelivered", "unknown"])
def test_every_word_of_the_protocol_is_known(word: str) -> None:
    assert parse(report("snd_1", word)).status == word


@pytest.mark.parametrize("word", ["read", "DELIVERED", "", None, 1, True, [], {}, "x" * 1000])
def test_a_word_without_a_meaning_is_unknown_and_no_error(word: Any) -> None:
    assert parse(report("snd_1", word)).status is ReceiptStatus.UNKNOWN


@pytest.mark.parametrize("code", [None, "", 7, ["x"], "x" * 61, "line\nbreak", "nul\0", "ünïcode"])
def test_an_error_code_that_can_not_be_stored_is_left_out(code: Any) -> None:
    assert parse(report("snd_1", error_code=code)).error_code == ""


@pytest.mark.parametrize(
    "moment",
    [
        None,
        "",
        "yesterday",
        1767225600,
        "2026-01-01T00:00:00",
        "1969-12-31T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "2026-13-01T00:00:00Z",
    ],
)
def test_a_time_that_can_not_be_read_is_when_it_came(moment: Any) -> None:
    assert parse(report("snd_1", at=moment)).at == NOW


def test_fields_that_we_do_not_know_are_ignored() -> None:
    assert parse(report("snd_1", price={"amount": 1}, parts=[1, 2])).provider_id == "snd_1"


@pytest.mark.parametrize("provider_id", [None, "", 7, [], "x" * 129, "snd\n1", "snd\x001", "snd_é", "\ud800"])
def test_without_a_proper_id_it_is_malformed(provider_id: Any) -> None:
    with pytest.raises(MalformedWebhook):
        parse(report(provider_id))


def test_the_longest_id_that_can_be_stored_is_accepted() -> None:
    assert parse(report("x" * 128)).provider_id == "x" * 128


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"delivered",
        b"null",
        b"[]",
        b'"snd_1"',
        b"{",
        b'{"id": "snd_1", "status": "delivered"',
        b'{"id": "snd_\xff"}',
        b"[" * 1000,
        b"[" * 100_000,
        b'{"id":' * 1000 + b"1" + b"}" * 1000,
        b'{"id": "snd_1", "at": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_object_with_an_id_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhook):
        parse(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_MOMENTS = st.datetimes(timezones=st.timezones(), allow_imaginary=True).map(datetime.isoformat)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.text(max_size=3) | _JSON,
            "status": st.sampled_from(ReceiptStatus.values) | _JSON,
            "error_code": st.text(max_size=70) | _JSON,
            "at": _MOMENTS | _JSON,
        },
    ).map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=50)
)
def test_any_body_is_read_or_malformed(body: bytes) -> None:
    try:
        [receipt] = INBOUND.parse(Payload(body, NOW)).receipts
    except MalformedWebhook:
        return

    assert receipt.at.tzinfo is not None
    assert len(receipt.provider_id) <= 128
    assert len(receipt.error_code) <= 60
