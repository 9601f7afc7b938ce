"""An edited route is followed by what is queued already."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import rematch, routes
from dispatch.lanes import DEFAULT, Lane
from dispatch.models import Route
from dispatch.rematch import Rematch
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message, make_route

pytestmark = pytest.mark.django_db


def run(work: Rematch) -> int:
    """All batches of the pass at hand; how many rows were looked at."""
    seen = 0
    while done := work.step():
        seen += done
    return seen


def test_a_new_route_takes_what_it_fits_and_leaves_the_rest(alice: Member) -> None:
    ours = make_message(alice.account, to="+447700900000")
    other = make_message(alice.account, to="+33123456789")
    sent = make_message(alice.account, to="+447700900000", state=State.SENT)
    work = Rematch()
    run(work)

    route = make_route("UK", make_connection(), destinations="GB")
    run(work)

    lanes = []
    for message in (ours, other, sent):
        message.refresh_from_db()
        lanes.append(message.lane)
    default = Lane(DEFAULT, False, "sms").number
    assert lanes == [Lane(route.id, False, "sms").number, default, default]


def test_a_route_that_was_switched_off_gives_them_back(alice: Member) -> None:
    route = make_route("UK", make_connection())
    message = make_message(alice.account, lane=Lane(route.id, False, "sms").number)
    work = Rematch()
    run(work)

    Route.objects.update(enabled=False)
    routes.forget()
    run(work)

    message.refresh_from_db()
    assert message.lane == Lane(DEFAULT, False, "sms").number


def test_a_row_that_has_no_lane_yet_gets_one(alice: Member) -> None:
    message = make_message(alice.account, lane=0)

    run(Rematch())

    message.refresh_from_db()
    assert message.lane == Lane(DEFAULT, False, "sms").number


def test_a_held_row_stays_held_in_its_new_lane(alice: Member) -> None:
    message = make_message(alice.account, lane=-Lane(DEFAULT, False, "sms").number)
    route = make_route("UK", make_connection())

    run(Rematch())

    message.refresh_from_db()
    assert message.lane == -Lane(route.id, False, "sms").number


def test_a_pass_goes_through_everything_in_batches_and_ends(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rematch, "BATCH", 3)
    deadline = timezone.now() + timedelta(hours=1)
    for number in range(8):
        make_message(alice.account, lane=0, expires_at=deadline if number % 2 else deadline + timedelta(seconds=number))
    work = Rematch()

    assert run(work) == 8
    assert work.step() == 0


def test_it_looks_once_more_when_everybody_knows_the_routes(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Rematch()
    run(work)
    late = make_message(alice.account, lane=0)  # by a process that knew less
    assert work.step() == 0

    monkeypatch.setattr(work, "_again_at", 0.0)
    run(work)

    late.refresh_from_db()
    assert late.lane == Lane(DEFAULT, False, "sms").number
    assert work._again_at is None
