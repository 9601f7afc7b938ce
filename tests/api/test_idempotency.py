"""`Idempotency-Key`: one effect and one answer, under any concurrency and after any crash."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from sendmsg.accounts.models import Account
from sendmsg.api import idempotency
from sendmsg.api.idempotency import purge
from sendmsg.api.models import IdempotencyRecord
from tests.api.urls import Hooks
from tests.cast import Member, make_member

pytestmark = pytest.mark.urls("tests.api.urls")

DEADLINE = 15  # seconds until a test that waits for another thread gives up


def post(headers: dict[str, str], key: str | None, path: str = "/v1/effects", **body: Any) -> Any:
    """Create an effect, by the whole stack of Django."""
    if key is not None:
        headers = {**headers, "Idempotency-Key": key}
    return Client().post(path, {"name": "once", **body}, "application/json", headers=headers)


def effects(name: str = "once") -> int:
    return Account.objects.filter(name=name).count()


def test_a_repeated_request_gets_the_first_answer_and_has_no_effect(alice: Member) -> None:
    first = post(alice.headers, "k")
    second = post(alice.headers, "k")

    assert first.status_code == second.status_code == 202
    assert second.content == first.content
    assert second["Location"] == first["Location"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert effects() == 1


def test_a_body_that_means_the_same_is_the_same(alice: Member) -> None:
    headers = {**alice.headers, "Idempotency-Key": "k"}
    bodies = [b'{"name": "once", "answer": 201}', b'{ "answer":201,\n"n\\u0061me":"once" }']

    first, second = (Client().post("/v1/effects", body, "application/json", headers=headers) for body in bodies)

    assert first.status_code == 201
    assert second["Idempotency-Replayed"] == "true"


def test_another_body_with_the_same_key_is_a_422(alice: Member) -> None:
    post(alice.headers, "k")

    response = post(alice.headers, "k", name="other")

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert effects("other") == 0


def test_a_key_counts_for_its_account_alone(alice: Member, charlie: Member) -> None:
    post(alice.headers, "k")

    assert post(charlie.headers, "k", name="other").status_code == 202


def test_a_key_is_shared_by_the_keys_of_an_account(alice: Member, acme: Account) -> None:
    post(alice.headers, "k")

    assert post(make_member(acme).headers, "k")["Idempotency-Replayed"] == "true"


def test_a_key_counts_for_its_endpoint_alone(alice: Member) -> None:
    post(alice.headers, "k")

    assert post(alice.headers, "k", "/v1/other-effects", name="other").status_code == 202


def test_a_test_key_never_answers_for_a_live_one(alice: Member) -> None:
    post(alice.test_headers, "k")

    response = post(alice.headers, "k", name="other")

    assert response.status_code == 202
    assert "Idempotency-Replayed" not in response


@pytest.mark.parametrize("key", ["x" * 255, "!", "~", "a,b;c", '"quoted"', "019a9d8e-1c2f"])
def test_any_visible_ascii_is_a_key(alice: Member, key: str) -> None:
    post(alice.headers, key)

    assert post(alice.headers, key)["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "a\tb", "é", "🎉", "\x7f"])
def test_anything_else_is_a_400_and_has_no_effect(alice: Member, key: str) -> None:
    response = post(alice.headers, key)

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_invalid")
    assert effects() == 0


def test_without_a_key_every_request_counts(alice: Member) -> None:
    post(alice.headers, None, name="a")
    post(alice.headers, None, name="b")

    assert effects("a") + effects("b") == 2
    assert not IdempotencyRecord.objects.exists()


def test_a_refused_request_may_be_corrected_with_the_same_key(alice: Member) -> None:
    assert post(alice.headers, "k", name=5).status_code == 400

    assert post(alice.headers, "k").status_code == 202


@pytest.mark.parametrize("key", ["k", None])
def test_an_answer_that_is_no_success_leaves_nothing_behind(alice: Member, key: str | None) -> None:
    assert post(alice.headers, key, answer=409).status_code == 409

    assert effects() == 0
    assert not IdempotencyRecord.objects.exists()


def test_what_a_repeated_request_is_answered_is_not_validated_again(alice: Member) -> None:
    first = post(alice.headers, "k")
    record = IdempotencyRecord.objects.get()
    record.body = json.dumps({"kept": True})
    record.save()

    assert first.status_code == 202
    assert post(alice.headers, "k").json() == {"kept": True}


@pytest.mark.django_db(transaction=True)
def test_a_hundred_parallel_copies_have_one_effect(alice: Member) -> None:
    at_once = 20  # connections, under any server's limit
    start = Barrier(at_once, timeout=DEADLINE)

    def copies(_: int) -> list[Any]:
        try:
            start.wait()
            return [post(alice.headers, "k") for _ in range(5)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(at_once) as pool:
        answers = [answer for five in pool.map(copies, range(at_once)) for answer in five]

    assert len(answers) == 100
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {202, 409}
    assert all(answer["Retry-After"] == "1" for answer in answers if answer.status_code == 409)
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len([answer for answer in accepted if "Idempotency-Replayed" not in answer]) == 1
    assert len({answer.content for answer in [*accepted, post(alice.headers, "k")]}) == 1
    assert effects() == 1
    assert IdempotencyRecord.objects.count() == 1


@contextmanager
def request_in_flight(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator["InFlight"]:
    """A first request with the key `k` that has had its effect, not yet committed, and waits."""
    flight = InFlight(headers)
    monkeypatch.setattr(Hooks, "inside", staticmethod(flight.wait))
    flight.thread.start()
    assert flight.reached.wait(DEADLINE)
    monkeypatch.setattr(Hooks, "inside", staticmethod(lambda: None))
    try:
        yield flight
    finally:
        flight.land()


class InFlight:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.reached, self.released = Event(), Event()
        self.backend = 0  # the process id of its database connection
        self.answer: Any = None
        self.thread = Thread(target=self.run)

    def run(self) -> None:
        try:
            self.answer = post(self.headers, "k")
        finally:
            connections.close_all()

    def wait(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (self.backend,) = cursor.fetchone() or (0,)
        self.reached.set()
        assert self.released.wait(DEADLINE)

    def land(self) -> Any:
        self.released.set()
        self.thread.join(DEADLINE)
        return self.answer


@pytest.mark.django_db(transaction=True)
def test_while_the_first_request_runs_a_second_is_told_to_wait(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    with request_in_flight(alice.headers, monkeypatch) as flight:
        second = post(alice.headers, "k")
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")
        assert second["Retry-After"] == "1"
        assert post(alice.headers, "another", name="other").status_code == 202
        first = flight.land()

    assert first.status_code == 202
    assert post(alice.headers, "k").content == first.content
    assert effects() == 1


@pytest.mark.django_db(transaction=True)
def test_a_first_request_that_dies_midway_frees_its_key(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    with request_in_flight(alice.headers, monkeypatch) as flight:
        with connection.cursor() as cursor:
            # What Postgres sees when a process is killed: the connection ends inside of the transaction.
            cursor.execute("SELECT pg_terminate_backend(%s, %s)", [flight.backend, DEADLINE * 1000])
        assert effects() == 0

        second = post(alice.headers, "k")

        first = flight.land()

    assert second.status_code == 202
    assert "Idempotency-Replayed" not in second
    assert (first.status_code, first.json()["code"]) == (503, "database_unavailable")
    assert effects() == 1


@pytest.mark.parametrize("explode", [RuntimeError, KeyboardInterrupt])
def test_a_first_request_that_fails_midway_frees_its_key(
    alice: Member, monkeypatch: pytest.MonkeyPatch, explode: type[BaseException]
) -> None:
    def fail() -> None:
        raise explode

    monkeypatch.setattr(Hooks, "inside", staticmethod(fail))
    with pytest.raises(explode):
        post(alice.headers, "k")
    monkeypatch.setattr(Hooks, "inside", staticmethod(lambda: None))

    assert effects() == 0
    assert post(alice.headers, "k").status_code == 202


def test_it_costs_three_queries(alice: Member, django_assert_num_queries: Callable[..., Any]) -> None:
    post(alice.headers, None, name="warm")
    with django_assert_num_queries(4) as plain:  # key, savepoint, insert, release
        post(alice.headers, None, name="plain")

    with django_assert_num_queries(len(plain) + 3):  # lock, look-up, insert
        post(alice.headers, "k")


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_answers_are_kept_for_a_day_and_purged_in_batches(
    alice: Member, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(idempotency, "PURGE_BATCH", batch)
    for number in range(5):
        post(alice.headers, f"k{number}", name=f"n{number}")
    old = timezone.now() - timedelta(hours=24, minutes=1)
    IdempotencyRecord.objects.filter(key__in=["k0", "k1", "k2"]).update(created_at=old)

    assert purge() == 3
    assert set(IdempotencyRecord.objects.values_list("key", flat=True)) == {"k3", "k4"}


def test_nothing_younger_than_promised_can_be_purged() -> None:
    with pytest.raises(ValueError, match="at least"):
        purge(timedelta(hours=23))
