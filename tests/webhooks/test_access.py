"""The door once more, for providers whose proof is not in the body: paths, passwords, addresses, nonces, encodings."""

import base64
import gzip
import hmac
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import brotli
import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from plivo.utils.signature_v3 import get_signature_v3
from twilio.request_validator import RequestValidator

from dispatch import directory
from dispatch.models import Connection
from sendmsg import redis
from tests.factories import make_connection
from tests.fixtures import raw
from tests.outages import redis_away
from tests.webhooks.contract import FORM, SECRET
from tests.webhooks.provider import deliver, report, signed
from webhooks.inbound import replays
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.buffer_redis import STREAM, Reader

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer")]
INFOBIP = raw("infobip/receipt_delivered.json")
PUBLIC = "https://sendmsg.example"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    directory.forget()


def stored() -> int:
    return int(redis.client().xlen(redis.key(STREAM)))


def connect(provider: str, **credentials: Any) -> Connection:
    return make_connection("line", provider=provider, credentials=credentials)


def post(path: str, body: bytes, content_type: str = "application/json", **headers: str) -> HttpResponse:
    answer = Client(enforce_csrf_checks=True).post(f"/webhooks/{path}", body, content_type, headers=headers)
    assert isinstance(answer, HttpResponse)
    return answer


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def twilio(url: str, body: bytes, **headers: str) -> HttpResponse:
    """As Twilio, which was given this URL."""
    signature = RequestValidator(SECRET).compute_signature(url, dict(parse_qsl(body.decode(), keep_blank_values=True)))
    return post("twilio/line", body, FORM, **{"X-Twilio-Signature": signature, **headers})


def test_a_secret_in_the_path_lets_in_what_nobody_signs() -> None:
    connect("infobip", webhook_tokens=["a-token"])

    answers = [post(f"infobip/line{token}", INFOBIP).status_code for token in ("", "/", "/another", "/a-token")]

    assert answers == [401, 404, 401, 200]
    assert stored() == 1


def test_a_token_is_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    connect("infobip", webhook_tokens=["a-token"])

    with redis_away():
        assert post("infobip/line/a-token", INFOBIP).status_code == 503
    assert post("infobip/line/another-token", INFOBIP).status_code == 401
    assert post("infobip/gone/a-token", INFOBIP).status_code == 404

    assert "webhook not stored connection=line" in caplog.text
    assert "token" not in caplog.text.replace("bad_token", "")


def test_the_provider_is_told_a_url_with_the_newest_token() -> None:
    connect("infobip", webhook_tokens=["new", "old"])

    assert directory.entries()["line"].receipt_url.endswith("/webhooks/infobip/line/new")
    connect("infobip", webhook_tokens=[])
    assert directory.entries()["line"].receipt_url.endswith("/webhooks/infobip/line")


def test_a_password_lets_in_what_nobody_signs() -> None:
    connect("infobip", webhook_basic=["alice:secret"])

    headers: list[dict[str, str]] = [{}, {"Authorization": basic("alice:wrong")}, {"Authorization": "Basic !"}]
    answers = [post("infobip/line", INFOBIP, **one).status_code for one in headers]
    answers.append(post("infobip/line", INFOBIP, Authorization=basic("alice:secret")).status_code)

    assert answers == [401, 401, 401, 200]


def test_what_a_connection_asks_for_is_asked_for_beside_the_signature_too() -> None:
    make_connection(credentials={"webhook_secrets": ["receipt-secret-1"], "webhook_tokens": ["a-token"]})
    body = report("snd_1")

    assert deliver(body).status_code == 401
    assert deliver(body, path="/webhooks/sendmsg/sendmsg/a-token").status_code == 200
    assert deliver(body, {}, path="/webhooks/sendmsg/sendmsg/a-token").status_code == 401


@pytest.mark.parametrize(
    ("networks", "trusted", "forwarded", "status"),
    [
        (["127.0.0.0/8"], False, None, 200),
        (["127.0.0.1"], False, None, 200),
        (["192.0.2.0/24", "127.0.0.1"], False, None, 200),
        (["192.0.2.0/24"], False, None, 401),
        (["192.0.2.0/24"], False, "192.0.2.1", 401),
        (["192.0.2.0/24"], True, "192.0.2.1", 200),
        (["192.0.2.0/24"], True, "198.51.100.1, 192.0.2.1", 200),
        (["192.0.2.0/24"], True, "192.0.2.1, 198.51.100.1", 401),
        (["192.0.2.0/24"], True, "::ffff:192.0.2.1", 200),
        (["192.0.2.0/24"], True, "nonsense", 401),
        (["2001:db8::/32"], True, "2001:db8::1", 200),
        (["everywhere"], False, None, 401),
    ],
)
def test_addresses_are_those_that_our_own_proxy_saw(
    settings: Any, networks: list[str], trusted: bool, forwarded: str | None, status: int
) -> None:
    settings.TRUST_PROXY = trusted
    connect("infobip", webhook_tokens=["a-token"], webhook_addresses=networks)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}

    assert post("infobip/line/a-token", INFOBIP, **headers).status_code == status


def test_the_url_that_is_signed_is_the_public_one_whatever_the_host_says(settings: Any) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = PUBLIC, ["*"]
    connect("twilio", auth_token=SECRET)
    body = raw("twilio/receipt_delivered.form")

    assert twilio(f"{PUBLIC}/webhooks/twilio/line", body, Host="internal:8000").status_code == 200
    assert twilio("http://internal:8000/webhooks/twilio/line", body, Host="internal:8000").status_code == 401


def test_twilio_is_answered_with_nothing_to_do(settings: Any) -> None:
    settings.PUBLIC_URL = PUBLIC
    connect("twilio", auth_token=SECRET)

    answer = twilio(f"{PUBLIC}/webhooks/twilio/line", raw("twilio/message.form"))

    assert (answer.status_code, answer["Content-Type"]) == (200, "text/xml")
    assert answer.content == b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


def test_a_get_is_stored_with_its_query() -> None:
    connect("plivo", auth_token=SECRET)
    query = raw("plivo/receipt_delivered.form").decode()
    pairs = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(query)))
    signature = get_signature_v3(SECRET, f"http://127.0.0.1:8000/webhooks/plivo/line?{pairs}", "nonce-1").decode()

    headers = {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": "nonce-1"}
    answer = Client().get(f"/webhooks/plivo/line?{query}", headers=headers)

    assert answer.status_code == 200
    [entry] = Reader("test").read(10, 0.001)
    assert (entry.payload.method, entry.payload.query, entry.payload.body) == ("GET", query, b"")


@pytest.mark.parametrize(("provider", "status"), [("sendmsg", 405), ("telnyx", 405), ("vonage", 401), ("plivo", 401)])
def test_a_get_is_only_for_those_who_use_it(provider: str, status: int) -> None:
    connect(provider, webhook_secrets=[SECRET])

    assert Client().get(f"/webhooks/{provider}/line").status_code == status


def test_metas_handshake_is_answered_and_nothing_stored() -> None:
    connect("whatsapp_cloud", verify_token="a-token", webhook_secrets=[SECRET])
    asked = {"hub.mode": "subscribe", "hub.verify_token": "a-token", "hub.challenge": "1158201444"}

    answer = Client().get(f"/webhooks/whatsapp_cloud/line?{urlencode(asked)}")
    refused = Client().get(f"/webhooks/whatsapp_cloud/line?{urlencode({**asked, 'hub.verify_token': 'x'})}")

    assert (answer.status_code, answer.content, refused.status_code, stored()) == (200, b"1158201444", 401, 0)


def plivo_v2(body: bytes, nonce: str = "nonce-2") -> HttpResponse:
    text = f"http://127.0.0.1:8000/webhooks/plivo/line{nonce}".encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), text, "sha256").digest()).decode()
    headers = {"X-Plivo-Signature-V2": signature, "X-Plivo-Signature-V2-Nonce": nonce}
    return post("plivo/line", body, FORM, **headers)


def test_a_proof_that_covers_no_body_comes_with_one_body_only() -> None:
    connect("plivo", auth_token=SECRET)
    body = raw("plivo/receipt_delivered.form")

    answers = [plivo_v2(one).status_code for one in (body, body, body.replace(b"=delivered", b"=failed"), body)]

    assert (answers, stored()) == ([200, 200, 401, 200], 1)
    assert plivo_v2(body, "nonce-3").status_code == 200


def test_a_malformed_request_is_not_remembered() -> None:
    connect("plivo", auth_token=SECRET)

    assert plivo_v2(b"nothing=1").status_code == 400
    assert plivo_v2(raw("plivo/receipt_delivered.form")).status_code == 200


def test_a_copy_for_another_connection_is_not_a_copy() -> None:
    body = report("snd_1")
    headers = signed(body)
    make_connection()
    make_connection("other")

    assert deliver(body, headers).status_code == 200
    assert deliver(body, headers, path="/webhooks/sendmsg/other").status_code == 200
    assert stored() == 2


def test_without_redis_nothing_is_taken_for_a_copy() -> None:
    request = WebhookRequest({}, b"x", timezone.now())

    with redis_away():
        proof = replays.proof("line", "nonce", request, 60)
        assert proof is not None
        replays.remember(proof)
        assert replays.known(proof) is False


def test_what_is_remembered_is_forgotten_in_time() -> None:
    make_connection()
    deliver(report("snd_1"))

    [key] = redis.client().keys(redis.key("seen:sendmsg:*"))
    assert 0 < redis.client().ttl(key) <= 600


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("br", brotli.compress)])
def test_a_compressed_webhook_is_signed_and_stored_as_it_is_inflated(encoding: str, compress: Any) -> None:
    make_connection()
    body = report("snd_1", text="x" * 100_000)

    answer = deliver(compress(body), {**signed(body), "Content-Encoding": encoding})

    assert answer.status_code == 200
    [entry] = Reader("test").read(10, 0.001)
    assert json.loads(entry.payload.body)["id"] == "snd_1"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(bytes(100_000_000)), "gzip", 413),
        (brotli.compress(bytes(20_000_000), quality=1), "br", 413),
        (b"x", "gzip", 400),
        (b"x", "zstd", 415),
    ],
    ids=["a bomb", "another bomb", "not gzip", "unknown"],
)
def test_what_can_not_be_inflated_is_refused_before_it_is_verified(body: bytes, encoding: str, status: int) -> None:
    make_connection()

    assert (deliver(body, {"Content-Encoding": encoding}).status_code, stored()) == (status, 0)
