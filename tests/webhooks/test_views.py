"""The door for providers: what is answered 200 is stored, and nothing else is."""

import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from prometheus_client import REGISTRY

from dispatch import directory
from dispatch.models import Connection
from sendmsg import redis
from tests.factories import RECEIPT_SECRET, make_connection
from tests.outages import database_away, redis_away
from tests.webhooks.provider import deliver, report, signed
from webhooks.inbound import buffer
from webhooks.inbound.buffer_redis import STREAM, Reader
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer")]
LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
BODY = report("snd_1")


@pytest.fixture(autouse=True)
def _known(line: Connection) -> Iterator[None]:
    yield
    directory.forget()


def stored() -> int:
    return int(redis.client().xlen(redis.key(STREAM)))


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("sendmsg_receipts_refused_total", {"reason": reason}) or 0.0


def test_a_receipt_is_stored_as_it_came_and_answered() -> None:
    answer = deliver(BODY)

    assert (answer.status_code, stored()) == (200, 1)
    [entry] = Reader("test").read(10, 0.001)
    assert (entry.connection, entry.payload.body) == ("sendmsg", BODY)
    assert Receipt.objects.count() == 0  # nothing but storing happens in the request


def test_the_same_request_again_is_answered_and_not_stored_again() -> None:
    headers = signed(BODY)

    assert [deliver(BODY, headers).status_code for _ in range(3)] == [200, 200, 200]
    assert stored() == 1


def test_what_could_not_be_stored_is_heard_when_it_comes_again() -> None:
    headers = signed(BODY)
    with redis_away():
        assert deliver(BODY, headers).status_code == 503
    buffer.forget()  # or the buffer is left alone for a moment

    assert (deliver(BODY, headers).status_code, stored()) == (200, 1)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"])
def test_the_bytes_count_whatever_they_are_called(content_type: str) -> None:
    answer = Client().post("/webhooks/sendmsg/sendmsg", BODY, content_type, headers=signed(BODY))

    assert (answer.status_code, stored()) == (200, 1)


def test_a_connection_that_sends_no_more_still_hears() -> None:
    make_connection(enabled=False)

    assert deliver(BODY).status_code == 200


def test_a_word_that_nobody_knows_is_stored() -> None:
    assert deliver(report("snd_1", "teleported")).status_code == 200


def stamped(signatures: str | None = None) -> dict[str, str]:
    headers = {"SendMSG-Timestamp": signed(b"")["SendMSG-Timestamp"]}
    return headers if signatures is None else {**headers, "SendMSG-Signature": signatures}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (dict, "bad_timestamp"),
        (lambda: {"SendMSG-Timestamp": "now"}, "bad_timestamp"),
        (lambda: signed(BODY, late=301), "stale_timestamp"),
        (lambda: signed(BODY, late=-305), "stale_timestamp"),
        (stamped, "bad_signature"),
        (lambda: stamped("v1=" + "é" * 64), "bad_signature"),
        (lambda: stamped("v1=" + "🎉" * 64), "bad_signature"),
        (lambda: stamped(signed(BODY)["SendMSG-Signature"][:-1]), "bad_signature"),
        (lambda: signed(BODY, secret="somebody-elses"), "bad_signature"),
        (lambda: signed(BODY + b" "), "bad_signature"),
    ],
)
def test_what_is_not_proven_is_401_and_not_stored(headers: Callable[[], dict[str, str]], reason: str) -> None:
    before = refused(reason)

    answer = deliver(BODY, headers())

    assert (answer.status_code, stored()) == (401, 0)
    assert refused(reason) == before + 1


def test_a_connection_without_secrets_is_401() -> None:
    make_connection(credentials={"api_key": "x"})

    assert (deliver(BODY).status_code, stored()) == (401, 0)


def test_another_connections_secret_is_401() -> None:
    make_connection("other", credentials={"api_key": "x", "webhook_secrets": ["another-secret"]})

    assert deliver(BODY, path="/webhooks/sendmsg/other").status_code == 401
    assert stored() == 0


def test_a_new_secret_works_at_once_and_beside_the_old_one() -> None:
    make_connection(credentials={"api_key": "x", "webhook_secrets": ["new-secret", RECEIPT_SECRET]})

    assert [deliver(BODY, signed(BODY, secret)).status_code for secret in ("new-secret", RECEIPT_SECRET)] == [200, 200]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"id": null}', b'{"id": "\xff"}', b"[" * 100_000])
def test_what_is_signed_and_can_not_be_read_is_400_and_not_stored(body: bytes) -> None:
    before = refused("malformed")

    answer = deliver(body)

    assert (answer.status_code, stored()) == (400, 0)
    assert refused("malformed") == before + 1


@pytest.mark.parametrize(
    "path", ["sendmsg/nobody", "nobody/sendmsg", "other/sendmsg", "sendmsg/other", "sendmsg/a%00b"]
)
def test_a_webhook_that_nobody_has_is_404_and_not_stored(path: str) -> None:
    make_connection("other", provider="other")

    assert deliver(BODY, path=f"/webhooks/{path}").status_code == 404
    assert stored() == 0


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_only_a_post_is_taken(method: str) -> None:
    assert getattr(Client(), method)("/webhooks/sendmsg/sendmsg").status_code == 405


@pytest.mark.parametrize(("size", "status", "count"), [(LIMIT, 200, 1), (LIMIT + 1, 413, 0), (5_000_000, 413, 0)])
def test_what_is_too_large_is_413_and_not_stored(size: int, status: int, count: int) -> None:
    assert (deliver(BODY.ljust(size)).status_code, stored()) == (status, count)


def test_without_redis_the_provider_is_asked_to_come_again_and_soon_told_so() -> None:
    before, start = refused("buffer_unavailable"), time.monotonic()

    with redis_away():
        answer = deliver(BODY)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert time.monotonic() - start < 2
    assert (stored(), refused("buffer_unavailable")) == (0, before + 1)


def test_what_redis_refuses_to_store_is_503() -> None:
    redis.client().set(redis.key(STREAM), "not a stream")  # as when it is full or read-only: an error for an answer

    assert deliver(BODY).status_code == 503
    redis.client().delete(redis.key(STREAM))


@pytest.mark.django_db(transaction=True)
def test_without_the_database_a_process_that_knows_the_connections_goes_on() -> None:
    assert deliver(BODY).status_code == 200
    directory.forget()

    with database_away("default"):
        answer = deliver(report("snd_2"))

    assert (answer.status_code, stored()) == (200, 2)


@pytest.mark.django_db(transaction=True)
def test_without_the_database_a_process_that_knows_none_asks_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_entries", {})
    directory.forget()

    with database_away("default"):
        answer = deliver(BODY)

    assert (answer.status_code, stored()) == (503, 0)


@pytest.mark.django_db(transaction=True)
def test_without_redis_and_the_database_nothing_is_acknowledged() -> None:
    directory.forget()
    directory.entries()  # this test's own, and not what an earlier one left
    directory.forget()

    with database_away("default"), redis_away():
        answer = deliver(BODY)

    assert (answer.status_code, stored()) == (503, 0)


def test_credentials_that_no_key_can_read_are_503_until_somebody_mends_them() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dispatch_connection SET credentials = 'written with a lost key'")
    directory.forget()

    assert (deliver(BODY).status_code, stored()) == (503, 0)


def test_a_refusal_logs_which_connection_and_why_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    body = report("snd_1", text="private words")

    deliver(body, signed(body, secret="somebody-elses"))

    [record] = [record for record in caplog.records if record.name.startswith("webhooks")]
    assert "webhook refused connection=sendmsg reason=bad_signature" in caplog.text
    assert isinstance(record.msg, dict)
    assert record.msg.keys() - {"time", "level", "logger", "event", "request_id"} == {"connection", "reason"}
    for secret in ("private words", "snd_1", "somebody-elses", RECEIPT_SECRET):
        assert secret not in caplog.text
