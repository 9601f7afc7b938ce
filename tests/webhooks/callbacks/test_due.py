"""Every endpoint has its turn: neither a dead one nor a busy one holds up the others."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sendmsg.accounts.models import Account
from tests.faults import FaultServer, answer
from tests.parallel import in_threads
from tests.webhooks.callbacks.driving import make_endpoint, pass_time, work_off
from webhooks.callbacks import due
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.pump import CallbacksPump

pytestmark = pytest.mark.django_db
THREADS = 64  # the default of CALLBACKS_THREADS
URL = "https://client.example/"


def fill(endpoint: Endpoint, count: int, late: timedelta = timedelta()) -> None:
    """So many callbacks that are due, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO webhooks_callback (id, endpoint_id, event_id, type, url, body, happened_at, state, due_at,"
            " attempts, response_body, error_code)"
            " SELECT gen_random_uuid(), %s, gen_random_uuid(), 'message.sent', '', '{}', now(), 'waiting',"
            " now() - make_interval(secs => %s + n * 1e-6), 0, '', '' FROM generate_series(1, %s) n",
            [endpoint.id, late.total_seconds(), count],
        )


def claimed(flying: dict[UUID, int] | None = None) -> Counter[UUID]:
    return Counter(task.endpoint_id for task in due.claim(flying or {}, THREADS, timezone.now()))


class TestShares:
    def test_one_endpoint_gets_half_of_the_threads(self, acme: Account) -> None:
        endpoint = make_endpoint(acme, URL)
        fill(endpoint, 100)

        assert claimed() == {endpoint.id: THREADS // 2}

    def test_several_get_the_same_however_much_waits_for_each(self, acme: Account) -> None:
        busy, *others = (make_endpoint(acme, URL) for _ in range(4))
        fill(busy, 5000, late=timedelta(hours=1))
        for other in others:
            fill(other, 20)

        assert claimed() == dict.fromkeys((busy.id, *(other.id for other in others)), THREADS // 4)

    def test_more_endpoints_than_threads_are_served_by_who_waits_longest(self, acme: Account) -> None:
        waiting = [make_endpoint(acme, URL) for _ in range(6)]
        for minutes, endpoint in enumerate(waiting):
            fill(endpoint, 5, late=timedelta(minutes=minutes))

        taken = {task.endpoint_id for task in due.claim({}, 2, timezone.now())}

        assert taken == {waiting[5].id, waiting[4].id}

    def test_calls_under_way_count(self, acme: Account) -> None:
        endpoint, other = make_endpoint(acme, URL), make_endpoint(acme, URL)
        fill(endpoint, 100)

        assert claimed({endpoint.id: THREADS // 2 - 6}) == {endpoint.id: 6}
        assert claimed({endpoint.id: THREADS // 2, other.id: THREADS // 2}) == {}

    def test_a_queue_of_any_length_costs_one_look(self, acme: Account) -> None:
        endpoints = [make_endpoint(acme, URL) for _ in range(3)]
        for endpoint in endpoints:
            fill(endpoint, 2000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE webhooks_callback")
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {due.LINES}", {"now": timezone.now(), "trusted": 3})
            [[[plan]]] = cursor.fetchall()

        assert most_rows(plan["Plan"]) <= 10

    def test_what_is_claimed_is_claimed_once(self, acme: Account) -> None:
        fill(make_endpoint(acme, URL), 10)

        assert (claimed().total(), claimed().total()) == (10, 0)

    def test_a_lease_that_ends_is_claimed_again(self, acme: Account) -> None:
        fill(make_endpoint(acme, URL), 1)
        [first] = due.claim({}, THREADS, timezone.now())

        [second] = due.claim({}, THREADS, timezone.now() + due.LEASE + timedelta(seconds=1))

        assert (second.id, second.event_id) == (first.id, first.event_id)

    def test_an_idle_step_asks_little(self) -> None:
        pump = CallbacksPump()
        pump.step()
        with CaptureQueriesContext(
            connection,
        ) as asked:
            pump.step()

        assert len([one for one in asked if "SAVEPOINT" not in one["sql"]]) <= 2


@pytest.mark.django_db(transaction=True)
def test_several_pumps_never_claim_the_same(acme: Account) -> None:
    for _ in range(3):
        fill(make_endpoint(acme, URL), 200)
    taken: list[list[UUID]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        for _ in range(5):
            taken[number] += [task.id for task in due.claim({}, THREADS, timezone.now())]

    in_threads(4, work)

    everything = [one for mine in taken for one in mine]
    assert len(everything) == len(set(everything)) >= 5 * THREADS // 2


class TestBreaker:
    def test_after_three_failures_in_a_row_it_is_paused_longer_and_longer(
        self, acme: Account, receiver: FaultServer
    ) -> None:
        receiver.play(answer(500))
        endpoint = make_endpoint(acme, receiver.url)
        fill(endpoint, 200)
        pump, pauses = CallbacksPump(), []
        work_off(pump)
        calls = [len(receiver.requests)]
        for _ in range(9):
            endpoint.refresh_from_db()
            assert endpoint.paused_until is not None
            pauses.append((endpoint.paused_until - timezone.now()).total_seconds())
            pass_time()
            work_off(pump)
            calls.append(len(receiver.requests))

        assert calls[0] <= THREADS // 2 + due.TRUSTED - 1  # failures that are known one by one let others go first
        assert [later - earlier for earlier, later in pairwise(calls)] == [1] * 9
        assert 0 < pauses[0] <= 2
        assert 250 < pauses[-1] <= 300

    def test_a_probe_that_succeeds_opens_it_at_once(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        endpoint = make_endpoint(acme, receiver.url)
        fill(endpoint, 50)
        pump = work_off()

        receiver.play(answer(200))
        pass_time()
        work_off(pump)
        pass_time()
        work_off(pump)

        endpoint.refresh_from_db()
        assert (endpoint.failures, endpoint.paused_until) == (0, None)
        assert not Callback.objects.exclude(state="delivered").exists()

    def test_one_at_a_time_tries_it_out_over_all_processes(self, acme: Account) -> None:
        endpoint = make_endpoint(acme, URL)
        fill(endpoint, 50)
        Endpoint.objects.update(failures=5, paused_until=timezone.now())

        assert [claimed().total() for _ in range(3)] == [1, 0, 0]

    def test_one_callback_that_is_never_taken_does_not_pause_the_rest(
        self, acme: Account, receiver: FaultServer
    ) -> None:
        """Failures count in a row: an endpoint that takes the others is well."""
        receiver.play(answer(500), answer(200), answer(500), answer(200), answer(500), answer(200))
        endpoint = make_endpoint(acme, receiver.url)
        pump = CallbacksPump()
        for _ in range(6):
            fill(endpoint, 1)
            work_off(pump)

        endpoint.refresh_from_db()
        assert (endpoint.failures, endpoint.paused_until) == (0, None)


class TestADeadClient:
    @pytest.mark.django_db(transaction=True)
    def test_with_a_hundred_thousand_callbacks_it_delays_nobody(self, acme: Account, loopback: None) -> None:
        """The others' callbacks of one step leave in the next, beside the dead one's few; its calls stay a handful."""
        with FaultServer(answer(503)) as dead, FaultServer() as alive:
            victim, healthy = make_endpoint(acme, dead.url), make_endpoint(acme, alive.url)
            fill(victim, 100_000, late=timedelta(hours=1))
            pump = CallbacksPump()
            work_off(pump)
            before = len(dead.requests)
            turns = []
            for _ in range(20):
                fill(healthy, 3)
                waiting = Callback.objects.filter(endpoint=healthy, state="waiting")
                steps = 0
                while waiting.exists():
                    steps += 1
                    pump.step()
                    if pump.flying:
                        pump.wait(1.0)
                turns.append(steps)
            work_off(pump)

            assert max(turns) <= 6
            assert before <= THREADS // 2
            assert len(dead.requests) - before <= 10
            assert len(alive.requests) == 60

    def test_one_that_hangs_holds_half_of_the_threads_at_most(self, acme: Account, loopback: None) -> None:
        with FaultServer(answer(200)) as alive:
            hanging, healthy = make_endpoint(acme, URL), make_endpoint(acme, alive.url)
            fill(hanging, 1000, late=timedelta(hours=1))
            first = claimed()
            fill(healthy, 10)

            assert first == {hanging.id: THREADS // 2}
            assert claimed(dict(first)) == {healthy.id: 10}


def most_rows(plan: dict[str, Any]) -> float:
    """The largest number of rows that any node of the plan handed on."""
    own: float = plan["Actual Rows"] * plan["Actual Loops"]
    return max([own, *(most_rows(child) for child in plan.get("Plans", []))])


def test_a_webhook_id_is_the_events_and_not_the_rows(acme: Account) -> None:
    endpoint, event = make_endpoint(acme, URL), uuid4()
    Callback.objects.create(
        endpoint=endpoint, event_id=event, type="message.sent", body="{}", happened_at=timezone.now(),
        due_at=timezone.now(),
    )  # fmt: skip

    [task] = due.claim({}, THREADS, timezone.now())

    assert task.event_id == event
