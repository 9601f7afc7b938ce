"""What becomes of a callback that is not taken: later and later, until it is; and what its endpoint learns of it."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch.models import Announcement
from sendmsg.accounts.models import Account
from tests.faults import Fault, FaultServer, answer, drip_body, drip_head, hang, huge, refused_url, reset
from tests.webhooks.callbacks.driving import (
    age,
    deliver,
    make_endpoint,
    pass_time,
    sent_message,
    told,
    verified,
    work_off,
)
from webhooks.callbacks import delivery, endpoints, replays
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.schedule import DELAYS, delay_after
from webhooks.callbacks.vocabulary import CallbackState, DisabledReason

pytestmark = pytest.mark.django_db
EIGHT = 8


def one_callback(account: Account, url: str) -> Endpoint:
    endpoint = make_endpoint(account, url)
    deliver(sent_message(account))
    return endpoint


def waits() -> timedelta:
    """How long until the one callback is sent again."""
    callback = Callback.objects.get()
    assert callback.attempted_at is not None
    return callback.due_at - callback.attempted_at


class TestTries:
    def test_after_seven_failures_the_eighth_try_delivers(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(*[answer(500)] * 7, answer(200))
        endpoint = one_callback(acme, receiver.url)
        pump = work_off()
        for _ in range(EIGHT - 1):
            pass_time()
            work_off(pump)

        callback = Callback.objects.get()
        assert (callback.state, callback.attempts, callback.error_code) == ("delivered", EIGHT, "")
        assert len(receiver.requests) == EIGHT
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        assert len({request.body for request in receiver.requests}) == 1
        assert verified(receiver.requests[-1], endpoint.secret)["type"] == "message.delivered"

    def test_after_the_eighth_it_has_failed_and_can_be_replayed(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        one_callback(acme, receiver.url)
        pump = work_off()
        for _ in range(EIGHT):
            pass_time()
            work_off(pump)
        failed = Callback.objects.get()
        assert (failed.state, failed.attempts, failed.error_code) == ("failed", EIGHT, "http_500")

        receiver.play(answer(204))
        replays.replay(failed)
        pass_time()
        work_off(pump)

        callback = Callback.objects.get()
        assert (callback.state, callback.attempts) == ("delivered", 1)

    def test_each_try_has_a_timestamp_of_its_own(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        one_callback(acme, receiver.url)
        pump = work_off()
        with time_machine.travel(timezone.now() + timedelta(minutes=1)):
            pass_time()
            work_off(pump)

        first, second = (int(request.headers["webhook-timestamp"]) for request in receiver.requests)
        assert second - first in (60, 61)

    def test_the_waits_are_those_of_the_table_give_or_take_a_tenth(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        one_callback(acme, receiver.url)
        pump, seen = work_off(), []
        for _ in DELAYS[1:]:
            seen.append(waits())
            pass_time()
            work_off(pump)

        assert sum(DELAYS, timedelta()) == timedelta(hours=27, minutes=35, seconds=5)
        for wait, delay in zip(seen, DELAYS[1:], strict=True):
            assert 0.9 * delay <= wait <= 1.1 * delay

    def test_jitter_spreads_what_failed_together(self) -> None:
        assert len({delay_after(3) for _ in range(20)}) == 20

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured_for_the_callback_and_its_endpoint(
        self, acme: Account, receiver: FaultServer, status: int
    ) -> None:
        receiver.play(answer(status, headers={"Retry-After": "600"}))
        endpoint = one_callback(acme, receiver.url)
        work_off()
        deliver(sent_message(acme))
        work_off()

        assert len(receiver.requests) == 1
        endpoint.refresh_from_db()
        first = Callback.objects.order_by("id")[0]
        assert first.attempted_at is not None
        assert endpoint.paused_until == first.due_at == first.attempted_at + timedelta(seconds=600)

    def test_a_retry_after_that_is_shorter_than_the_table_changes_nothing(
        self, acme: Account, receiver: FaultServer
    ) -> None:
        receiver.play(answer(500, headers={"Retry-After": "1"}))
        one_callback(acme, receiver.url)
        work_off()

        assert waits() >= 0.9 * DELAYS[1]


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_a_success_is_a_success_by_its_status(self, acme: Account, receiver: FaultServer, status: int) -> None:
        receiver.play(answer(status, close=True))
        one_callback(acme, receiver.url)
        work_off()

        assert Callback.objects.get().state == "delivered"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_not_followed(self, acme: Account, receiver: FaultServer, status: int) -> None:
        with FaultServer() as inside:
            receiver.play(answer(status, headers={"Location": inside.url}))
            one_callback(acme, receiver.url)
            work_off()

            assert inside.connections == 0
        assert Callback.objects.get().error_code == f"http_{status}"

    @pytest.mark.parametrize("fault", [drip_body(200, 0.02), huge(200, 10**9, "length"), huge(200, 10**9, "chunked")])
    def test_a_success_counts_whatever_body_follows_and_the_body_is_cut(
        self, acme: Account, receiver: FaultServer, fault: Fault, short_deadline: None
    ) -> None:
        receiver.play(fault)
        one_callback(acme, receiver.url)
        work_off()

        callback = Callback.objects.get()
        assert (callback.state, callback.response_status, callback.response_body) == ("delivered", 200, "")

    @pytest.mark.parametrize(("fault", "code"), [(hang, "deadline"), (drip_head(200, 0.02), "deadline")])
    def test_an_answer_that_does_not_come_is_cut_at_the_deadline(
        self, acme: Account, receiver: FaultServer, fault: Fault, code: str, short_deadline: None
    ) -> None:
        receiver.play(fault)
        one_callback(acme, receiver.url)
        work_off()

        callback = Callback.objects.get()
        assert (callback.state, callback.error_code, callback.response_status) == ("waiting", code, None)

    def test_a_connection_that_breaks_is_a_failure(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(reset)
        one_callback(acme, receiver.url)
        work_off()

        assert Callback.objects.get().error_code in ("connection_reset", "no_answer")

    def test_so_is_nobody_there(self, acme: Account, loopback: None) -> None:
        one_callback(acme, refused_url())
        work_off()

        assert Callback.objects.get().error_code == "connection_refused"

    def test_an_address_that_became_private_is_refused_at_the_call(
        self, acme: Account, receiver: FaultServer, settings: Any
    ) -> None:
        """The URL was stored while private addresses were allowed; a name can turn private at any time."""
        one_callback(acme, receiver.url)
        settings.CALLBACKS_ALLOW_PRIVATE = False
        work_off()

        assert receiver.connections == 0
        assert Callback.objects.get().error_code == "url_private"

    def test_a_secret_that_cannot_be_read_holds_up_nobody_else(self, acme: Account, receiver: FaultServer) -> None:
        broken, well = make_endpoint(acme, receiver.url), make_endpoint(acme, receiver.url)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE webhooks_endpoint SET secret = 'gibberish' WHERE id = %s", [broken.id])
        deliver(sent_message(acme))
        work_off()

        assert len(receiver.requests) == 1
        assert Callback.objects.get(endpoint=well).state == "delivered"
        assert Callback.objects.get(endpoint_id=broken.id).error_code == "secret_unreadable"

        new = endpoints.rotate(Endpoint.objects.defer("secret", "old_secrets").get(pk=broken.id), timezone.now())
        pass_time()
        work_off()
        assert verified(receiver.requests[1], new)

    def test_a_mistake_of_ours_is_one_failed_try(
        self, acme: Account, receiver: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise RuntimeError

        one_callback(acme, receiver.url)
        monkeypatch.setattr("webhooks.callbacks.signing.headers", broken)
        work_off()

        assert Callback.objects.get().error_code == "callback_error"


class TestMetrics:
    def test_they_count_what_became_of_each_call(self, acme: Account, receiver: FaultServer) -> None:
        def counts() -> list[float]:
            read = REGISTRY.get_sample_value
            results = ("retried", "delivered", "failed")
            found = [read("sendmsg_callbacks_total", {"result": result}) or 0.0 for result in results]
            gone = read("sendmsg_callback_endpoints_disabled_total", {"reason": "gone"}) or 0.0
            return [*found, gone, read("sendmsg_callback_lag_seconds_count") or 0.0]

        before = counts()
        receiver.play(answer(500), answer(200), answer(410))
        one_callback(acme, receiver.url)
        pump = work_off()
        pass_time()
        work_off(pump)
        deliver(sent_message(acme))
        work_off(pump)

        assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1, 2]


class TestEndpointsThatFail:
    def test_gone_disables_it_at_once_and_says_so_to_the_others(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(410))
        with FaultServer() as other:
            gone = one_callback(acme, receiver.url)
            make_endpoint(acme, other.url, "endpoint.disabled")
            work_off()

            [notice] = told(other)
        gone.refresh_from_db()
        assert (gone.state, gone.disabled_reason) == ("disabled", "gone")
        assert Callback.objects.get(endpoint=gone).state == "failed"
        assert notice["type"] == "endpoint.disabled"
        assert notice["data"] == {"id": str(gone.id), "url": gone.url, "reason": "gone"}

    def test_gone_for_one_message_is_not_gone_for_all_of_its_host(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(410), answer(200))
        for path in ("/gone", "/here"):
            deliver(sent_message(acme, callback_url=receiver.url + path))
            work_off()

        assert Endpoint.objects.get().state == "enabled"
        assert sorted(Callback.objects.values_list("url", "state")) == [
            (f"{receiver.url}/gone", "failed"),
            (f"{receiver.url}/here", "delivered"),
        ]

    def test_five_days_of_nothing_but_failures_disable_it(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        endpoint = one_callback(acme, receiver.url)
        pump = work_off()
        states = []
        for days in (4, 1):
            age(endpoint, timedelta(days=days))
            pass_time()
            work_off(pump)
            endpoint.refresh_from_db()
            states.append((endpoint.state, endpoint.disabled_reason))

        assert states == [("enabled", ""), ("disabled", "failing")]
        deliver(sent_message(acme))
        assert not Announcement.objects.exists(), "nobody listens any more"

    def test_what_waited_for_it_is_given_up_and_can_be_replayed(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500))
        endpoint = one_callback(acme, receiver.url)
        pump = work_off()
        endpoint.refresh_from_db()
        endpoints.disable(endpoint, DisabledReason.FAILING)
        work_off()
        assert Callback.objects.get().error_code == "endpoint_disabled"
        with pytest.raises(replays.Disabled):
            replays.replay(Callback.objects.get())

        receiver.play(answer(200))
        endpoints.enable(endpoint)
        replays.replay_since(endpoint, endpoint.created_at, CallbackState.FAILED)
        pass_time()
        work_off(pump)

        assert Callback.objects.get().state == "delivered"

    def test_one_success_starts_the_five_days_again(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500), answer(200), answer(500))
        endpoint = one_callback(acme, receiver.url)
        pump = work_off()
        age(endpoint, timedelta(days=6))
        deliver(sent_message(acme))
        Callback.objects.filter(attempts=1).update(due_at=timezone.now() + timedelta(days=1))
        work_off(pump)
        endpoint.refresh_from_db()

        assert (endpoint.state, endpoint.failures, endpoint.failing_since) == ("enabled", 0, None)


class TestRotation:
    def test_in_the_middle_of_the_tries_either_secret_verifies(self, acme: Account, receiver: FaultServer) -> None:
        receiver.play(answer(500), answer(200))
        endpoint = one_callback(acme, receiver.url)
        old = endpoint.secret
        pump = work_off()
        new = endpoints.rotate(endpoint, timezone.now())
        pass_time()
        work_off(pump)

        before, after = receiver.requests
        assert len(before.headers["webhook-signature"].split()) == 1
        assert verified(after, old) == verified(after, new)

    def test_after_a_day_only_the_new_one_does(self, acme: Account, receiver: FaultServer) -> None:
        endpoint = make_endpoint(acme, receiver.url)
        new = endpoints.rotate(endpoint, timezone.now() - timedelta(hours=24))
        deliver(sent_message(acme))
        work_off()

        [request] = receiver.requests
        assert len(request.headers["webhook-signature"].split()) == 1
        assert verified(request, new)


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call is cut after a second, and not after fifteen."""
    monkeypatch.setattr(delivery, "TOTAL", 1.0)
    delivery.client.cache_clear()
    yield
    delivery.client.cache_clear()
