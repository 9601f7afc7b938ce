"""What is over goes, bit by bit, and nothing else does."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from uuid_utils.compat import uuid7

from sendmsg.accounts.models import Account
from sendmsg.ids import first_id, made_at
from tests.webhooks.callbacks.driving import make_endpoint
from webhooks.callbacks import endpoints, housekeeping
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.vocabulary import DisabledReason

pytestmark = pytest.mark.django_db
URL = "https://client.example/"


def make_callback(endpoint: Endpoint, state: str = "waiting", age: timedelta = timedelta()) -> Callback:
    now = timezone.now()
    made = first_id(now - age) if age else uuid7()
    return Callback.objects.create(
        id=made, endpoint=endpoint, event_id=uuid4(), type="message.sent", body="{}", state=state,
        happened_at=now, due_at=now,
    )  # fmt: skip


def left() -> set[object]:
    return set(Callback.objects.values_list("id", flat=True))


def test_what_ended_is_forgotten_after_its_time_and_what_waits_never() -> None:
    endpoint = make_endpoint(Account.objects.create(name="Acme"), URL)
    make_callback(endpoint, "delivered", timedelta(days=31))
    kept = {
        make_callback(endpoint, "delivered", timedelta(days=29)).id,
        make_callback(endpoint, "waiting", timedelta(days=32)).id,
        make_callback(endpoint, "failed").id,
    }

    assert (housekeeping.forget(), housekeeping.forget()) == (1, 0)
    assert left() == kept


def test_a_deleted_endpoint_goes_with_all_that_was_kept_and_no_other(
    acme: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    gone, stays = make_endpoint(acme, URL), make_endpoint(acme, URL)
    for state in ("delivered", "failed", "waiting"):
        make_callback(gone, state)
    kept = make_callback(stays)
    endpoints.delete(gone)

    assert [housekeeping.remove() for _ in range(4)] == [2, 1, 1, 0]
    assert (list(Endpoint.objects.all()), left()) == ([stays], {kept.id})


def test_only_what_waits_for_a_disabled_endpoint_is_given_up(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    off, on = make_endpoint(acme, URL), make_endpoint(acme, URL)
    for _ in range(3):
        make_callback(off)
    make_callback(on)
    endpoints.disable(off, DisabledReason.OPERATOR)

    assert [housekeeping.abandon() for _ in range(3)] == [2, 1, 0]
    assert Callback.objects.get(state="waiting").endpoint == on


def test_the_clock_looks_again_at_once_while_there_is_something(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    off = make_endpoint(acme, URL)
    for _ in range(3):
        make_callback(off)
    endpoints.disable(off, DisabledReason.OPERATOR)
    clock = housekeeping.Clock()

    assert [clock.tick() for _ in range(4)] == [2, 1, 0, 0]


def test_an_id_made_from_a_time_is_the_least_of_its_millisecond() -> None:
    before = first_id(timezone.now() - timedelta(milliseconds=2))

    assert before < uuid7() < first_id(timezone.now() + timedelta(milliseconds=2))
    assert first_id(made_at(before)) == before
