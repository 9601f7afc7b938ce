"""The short way in accepts what the site would have accepted, to the letter; everything else is the site's."""

import gzip
import json
import select
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
import time_machine
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import deposit
from dispatch.models import Message
from sendmsg import prepared
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.models import ApiKey
from sendmsg.api import known
from sendmsg.api.authentication import Client
from sendmsg.api.idempotency import Scope
from sendmsg.api.models import IdempotencyRecord
from sendmsg.journal.models import JournalEntry
from sendmsg.telemetry import otlp
from tests.cast import Member
from tests.factories import make_connection, make_route, make_suppression
from tests.outages import database_away
from tests.stored import dump
from tests.telemetry.receiver import Receiver
from tests.waiting import eventually
from tests.wsgi import Answer, call
from webhooks.door import Door

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/v1/messages"
MESSAGE = {"to": "+447700900900", "body": "hello"}


class Front:
    """The door, and how many of its calls went on to the site."""

    def __init__(self, site: WSGIHandler) -> None:
        self.passed_on = 0
        self._site = site
        self._door = Door(self._serve)

    def __call__(self, member: Member, body: Any, path: str = PATH, **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self._door, path, raw, {**member.headers, **given})

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.passed_on += 1
        return self._site(environ, start_response)


@pytest.fixture
def site() -> WSGIHandler:
    return WSGIHandler()


@pytest.fixture
def post(site: WSGIHandler) -> Iterator[Front]:
    yield Front(site)
    known.forget()


@pytest.fixture
def seen(post: Front, alice: Member) -> Member:
    """Alice, whose key the process has seen: only the site can tell that a key is good."""
    post(alice, MESSAGE)
    assert post.passed_on == 1
    Message.objects.all().delete()
    JournalEntry.objects.all().delete()
    post.passed_on = 0
    return alice


def columns(row: Any) -> dict[str, Any]:
    hidden = ("id", "_state", "key", "body" if isinstance(row, IdempotencyRecord) else "", "headers")
    return {name: value for name, value in vars(row).items() if name not in hidden}


def blind(text: bytes | str, message: Message) -> str:
    return (text.decode() if isinstance(text, bytes) else text).replace(str(message.id), "id")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"body": "a tab\t, a line\nand я, 🎉, \\N, %s, %(to)s, ' and \" and \u2028"},
        {"channel": "whatsapp", "from": "+447700900001", "priority": "high", "valid_for": 60},
        {
            "from": " Acme & Co ",
            "callback_url": "https://client.example/cb?a=1",
            "client_reference": "a\\tb\tc\n",
            "metadata": {"k\\": 'a "quoted"\n\\ value', "я": ""},
        },
        {"to": "+44 (0)7700 900-900", "body": "x" * 400},
    ],
)
def test_it_stores_and_answers_what_the_site_does(
    post: Front, seen: Member, site: WSGIHandler, fields: dict[str, Any]
) -> None:
    make_route("british", make_connection(), destinations="GB")
    body = json.dumps({**MESSAGE, **fields}).encode()
    with time_machine.travel(timezone.now(), tick=False):
        slow = call(site, PATH, body, {**seen.headers, "Idempotency-Key": "one", "X-Request-ID": "same"})
        quick = post(seen, body, Idempotency_Key="two", X_Request_ID="same")

    assert (post.passed_on, quick.status, slow.status) == (0, 202, 202)
    first, second = Message.objects.order_by("id")
    assert columns(first) == columns(second)
    assert blind(slow.content, first) == blind(quick.content, second)
    varying = {"X-Request-ID", "Location", "Vary"}  # what is not compressed does not vary
    assert {k: v for k, v in slow.headers.items() if k not in varying} == {
        k: v for k, v in quick.headers.items() if k not in varying
    }
    assert quick.headers["Location"] == f"/v1/messages/{second.id}"
    events = [entry.events[0] for entry in JournalEntry.objects.order_by("id")]
    assert [
        blind(json.dumps({**event, "id": ""}), row) for event, row in zip(events, (first, second), strict=True)
    ] == [blind(json.dumps({**events[0], "id": ""}), first)] * 2
    one, two = IdempotencyRecord.objects.order_by("id")
    assert columns(one) == columns(two)
    assert [blind(one.body, first), one.headers["Location"]] == [blind(two.body, second), f"/v1/messages/{first.id}"]


def test_no_table_shows_the_text_that_it_stores(post: Front, seen: Member) -> None:
    body = {**MESSAGE, "body": "p1anted " * 30}

    assert post(seen, body, Idempotency_Key="one").status == 202
    again = post(seen, body, Idempotency_Key="one")

    assert (again.status, post.passed_on) == (202, 1)  # the repeat is the site's
    row = Message.objects.get()
    assert (row.body, row.long) == (body["body"], True)
    assert json.loads(again.content)["body"] == body["body"]
    assert "p1anted" not in dump()


@pytest.mark.parametrize(
    ("body", "headers", "path", "status"),
    [
        ({"to": "x", "body": ""}, {}, PATH, 400),
        (b"{", {}, PATH, 400),
        (b'{"to": "+447700900900", "to": "+447700900901", "body": "twice"}', {}, PATH, 400),
        ({**MESSAGE, "colour": "red"}, {}, PATH, 400),
        ({**MESSAGE, "send_at": "2999-01-01T00:00:00Z"}, {}, PATH, 400),
        (MESSAGE, {}, f"{PATH}?dry_run=true", 200),
        (MESSAGE, {"Accept": "text/html"}, PATH, 406),
        (MESSAGE, {"Content_Type": "text/plain"}, PATH, 415),
        (gzip.compress(json.dumps(MESSAGE).encode()), {"Content_Encoding": "gzip"}, PATH, 202),
        (MESSAGE, {"Idempotency_Key": "not one"}, PATH, 400),
        (MESSAGE, {"Authorization": "Bearer smk_live_wrong"}, PATH, 401),
        (MESSAGE, {"Host": "evil.example"}, PATH, 400),
        ({**MESSAGE, "body": "x" * 70_000}, {}, PATH, 413),
    ],
)
def test_what_is_not_plain_is_the_sites(
    post: Front, seen: Member, body: Any, headers: dict[str, str], path: str, status: int
) -> None:
    answer = post(seen, body, path, **headers)

    assert (post.passed_on, answer.status) == (1, status)
    assert Message.objects.count() == (status == 202)


def test_a_schedule_is_the_sites(post: Front, seen: Member) -> None:
    later = (timezone.now() + timedelta(hours=1)).isoformat()

    assert post(seen, {**MESSAGE, "send_at": later}).status == 202
    assert post.passed_on == 1


def test_whoever_may_not_write_is_told_so(post: Front, bob: Member) -> None:
    assert [post(bob, MESSAGE).status for _ in range(2)] == [403, 403]
    assert not Message.objects.exists()


@pytest.mark.parametrize(("column", "ago"), [("revoked_at", 0), ("expires_at", 1)])
def test_a_key_that_ended_a_moment_ago_opens_nothing(post: Front, seen: Member, column: str, ago: int) -> None:
    ApiKey.objects.update(**{column: timezone.now() - timedelta(seconds=ago)})

    assert post(seen, MESSAGE).status == 401
    assert not Message.objects.exists()


def test_a_test_key_makes_a_test_message(post: Front, alice: Member) -> None:
    for _ in range(2):
        post(alice, MESSAGE, **alice.test_headers)

    assert (post.passed_on, list(Message.objects.values_list("test", flat=True))) == (1, [True, True])


def test_a_new_default_sender_counts_at_once(post: Front, seen: Member) -> None:
    seen.account.default_sender = "NewName"
    seen.account.save()

    assert json.loads(post(seen, MESSAGE).content)["from"] == "NewName"
    assert json.loads(post(seen, MESSAGE).content)["from"] == "NewName"


@pytest.mark.parametrize(("sender", "channel"), [("", ""), ("Acme", ""), ("Acme", "sms")])
def test_who_opted_out_is_not_written_to(post: Front, seen: Member, sender: str, channel: str) -> None:
    make_suppression(seen.account, MESSAGE["to"], sender=sender, channel=channel)

    answer = post(seen, {**MESSAGE, "from": "Acme"})

    assert (answer.status, json.loads(answer.content)["errors"][0]["code"]) == (400, "recipient_opted_out")
    assert not Message.objects.exists()


def test_what_nobody_carries_is_refused(post: Front, seen: Member) -> None:
    make_connection(provider="telnyx")

    assert post(seen, {**MESSAGE, "channel": "whatsapp", "from": "+447700900001"}).status == 400


class TestRepeats:
    def test_a_repeat_is_answered_again(self, post: Front, seen: Member) -> None:
        first, second = (post(seen, MESSAGE, Idempotency_Key="k") for _ in range(2))

        assert (first.status, second.status, first.content) == (202, 202, second.content)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.headers["Location"] == first.headers["Location"]
        assert Message.objects.count() == 1

    def test_the_site_and_the_short_way_know_each_others(self, post: Front, seen: Member, site: WSGIHandler) -> None:
        body = json.dumps(MESSAGE).encode()
        call(site, PATH, body, {**seen.headers, "Idempotency-Key": "k"})

        assert post(seen, body, Idempotency_Key="k").headers["Idempotency-Replayed"] == "true"

    def test_another_body_with_the_same_key_is_refused(self, post: Front, seen: Member) -> None:
        post(seen, MESSAGE, Idempotency_Key="k")

        assert post(seen, {**MESSAGE, "body": "other"}, Idempotency_Key="k").status == 422

    def test_of_many_at_once_one_has_an_effect(self, post: Front, seen: Member) -> None:
        def one(_: int) -> Answer:
            try:
                return post(seen, MESSAGE, Idempotency_Key="k")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(one, range(40)))

        assert {answer.status for answer in answers} <= {202, 409}
        assert len({answer.content for answer in answers if answer.status == 202}) == 1
        assert Message.objects.count() == JournalEntry.objects.count() == 1

    def test_while_the_first_is_under_way_a_second_is_told_to_wait(self, post: Front, seen: Member) -> None:
        scope = Scope(seen.account.id, Mode.LIVE, f"POST {PATH}", "k")
        with other_connection() as first:
            first.execute("SELECT pg_advisory_lock(%s)", [scope.lock])
            answer = post(seen, MESSAGE, Idempotency_Key="k")

        assert (answer.status, Message.objects.count()) == (409, 0)


class TestTheDatabase:
    def test_one_statement_is_all(self, post: Front, seen: Member) -> None:
        post(seen, MESSAGE, Idempotency_Key="first")
        with CaptureQueriesContext(connection) as told:
            post(seen, MESSAGE, Idempotency_Key="second")

        assert [query["sql"].split()[0] for query in told] == ["EXECUTE"]

    def test_a_connection_that_died_is_replaced(self, post: Front, seen: Member) -> None:
        post(seen, MESSAGE)
        raw = connection.connection
        with other_connection() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid])
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLIN)
        eventually(lambda: poll.poll(0), "the server has hung up", 10)

        assert post(seen, MESSAGE).status == 202
        assert (post.passed_on, Message.objects.count()) == (0, 2)

    def test_behind_a_pooler_the_statement_is_sent_whole(
        self, post: Front, seen: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prepared, "_backend", lambda raw: -1)  # PgBouncer makes a number up
        monkeypatch.setattr(prepared, "_sessions", type(prepared._sessions)())

        with CaptureQueriesContext(connection) as captured:
            answers = [post(seen, MESSAGE, Idempotency_Key=key).status for key in ("b", "c")]
            answers.append(post(seen, MESSAGE).status)

        assert answers == [202, 202, 202]
        assert not [one for one in captured if one["sql"].startswith(("PREPARE", "EXECUTE"))]
        assert (post.passed_on, Message.objects.count()) == (0, 3)

    def test_away_it_is_the_answer_of_the_api(self, post: Front, seen: Member) -> None:
        with database_away("default"):
            answer = post(seen, MESSAGE)

        document: Mapping[str, Any] = json.loads(answer.content)
        assert (answer.status, document["code"]) == (503, "database_unavailable")
        assert document["request_id"] == answer.headers["X-Request-ID"]
        assert answer.headers["Retry-After"]

    def test_what_is_too_long_for_its_column_is_an_error_and_not_cut_off(self, seen: Member) -> None:
        types = {name: deposit._type(name) for name in ("to", "body", "account_id", "due_at", "in_doubt")}

        assert types == {
            "to": "varchar",
            "body": "text",
            "account_id": "uuid",
            "due_at": "timestamptz",
            "in_doubt": "boolean",
        }


def test_a_mistake_of_ours_is_500_and_nothing_is_stored(post: Front, seen: Member) -> None:
    with patch("dispatch.express.copying.row_of", side_effect=LookupError("ours")):
        answer = post(seen, MESSAGE)

    assert (answer.status, json.loads(answer.content)["code"]) == (500, "internal_error")
    assert not Message.objects.exists()


def test_each_call_is_one_span_whichever_way_it_went(post: Front, alice: Member, collector: Receiver) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for name in ("the site's", "the short way's"):
        post(alice, {**MESSAGE, "client_reference": name}, traceparent=caller)
    otlp.close()

    assert post.passed_on == 1
    servers = [span for span in collector.spans if span.name == "POST /v1/messages"]
    assert len(servers) == 2
    accepts = [span for span in collector.spans if span.name == "accept"]
    assert {span.parent_id for span in accepts} == {span.span_id for span in servers}
    assert all(row.trace for row in Message.objects.all())


def test_a_client_is_forgotten_before_its_last_use_is_to_be_noted() -> None:
    known.remember("digest", _client(), 0)
    assert known.recall("digest") is None
    known.remember("digest", _client(), 60)
    assert known.recall("digest") is not None


def test_a_key_is_known_until_ten_minutes_after_its_last_use(post: Front, alice: Member) -> None:
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=4))
    with patch.object(known, "remember") as remember:
        post(alice, MESSAGE)

    [digest, _, seconds] = remember.call_args.args
    assert ApiKey.objects.filter(digest=digest).exists()
    assert 350 < seconds <= 360


def test_not_more_clients_are_known_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 2)
    for digest in ("a", "b", "c"):
        known.remember(digest, _client(), 60)

    assert [known.recall(digest) is not None for digest in ("a", "b", "c")] == [False, False, True]


@contextmanager
def other_connection() -> Iterator[Any]:
    """A cursor of somebody else."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def _client() -> Any:
    return Client(uuid4(), uuid4(), Mode.LIVE, frozenset())
