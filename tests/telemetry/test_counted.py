"""What the moves of messages, their tries and their receipts count."""

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import transitions
from dispatch.changes import Change
from dispatch.models import ProviderReference
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message
from webhooks.inbound import matching
from webhooks.models import Receipt

pytestmark = pytest.mark.django_db
NORMAL = {"priority": "normal", "mode": "live"}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_message_is_handed_over_once_however_often_it_is_sent(alice: Member) -> None:
    message = make_message(alice.account, State.SENDING, created_at=timezone.now() - timedelta(seconds=20))
    before = counted("sendmsg_handed_over_seconds_count", **NORMAL)
    within = counted("sendmsg_handed_over_seconds_bucket", le="10.0", **NORMAL)

    for target in (State.SENT, State.QUEUED, State.RELEASED, State.SENDING, State.SENT):
        transitions.apply([Change(message.id, target)])

    assert counted("sendmsg_handed_over_seconds_count", **NORMAL) == before + 1
    assert counted("sendmsg_handed_over_seconds_bucket", le="10.0", **NORMAL) == within


def test_a_scheduled_message_is_late_only_after_its_time(alice: Member) -> None:
    now = timezone.now()
    message = make_message(
        alice.account, State.SENDING, created_at=now - timedelta(hours=1), send_at=now - timedelta(seconds=2)
    )
    within = counted("sendmsg_handed_over_seconds_bucket", le="10.0", **NORMAL)

    transitions.apply([Change(message.id, State.SENT)])

    assert counted("sendmsg_handed_over_seconds_bucket", le="10.0", **NORMAL) == within + 1


def test_a_receipt_tells_how_long_a_message_took_and_what_its_connection_said(alice: Member) -> None:
    main = make_connection("main")
    labels = {"connection": "main", "status": "delivered"}
    message = make_message(
        alice.account, State.SENT, connection=main, created_at=timezone.now() - timedelta(seconds=40), test=True
    )
    ProviderReference.objects.create(connection=main, value="id", message=message)
    Receipt.objects.create(connection=main, provider_id="id", status="delivered", at=timezone.now())
    said = counted("sendmsg_receipt_statuses_total", **labels)
    seconds = counted("sendmsg_delivered_seconds_sum", priority="normal", mode="test")
    lags = counted("sendmsg_receipt_lag_seconds_count")

    assert matching.match_parked() == 1

    assert counted("sendmsg_receipt_statuses_total", **labels) == said + 1
    assert 40 <= counted("sendmsg_delivered_seconds_sum", priority="normal", mode="test") - seconds < 100
    assert counted("sendmsg_receipt_lag_seconds_count") == lags + 1


def test_a_try_that_failed_is_a_retry_and_one_that_was_not_made_is_none(alice: Member) -> None:
    failed, paced = make_message(alice.account, State.SENDING), make_message(alice.account, State.SENDING)
    before = counted("sendmsg_retries_total")

    transitions.apply([Change(failed.id, State.QUEUED, failed=True), Change(paced.id, State.QUEUED)])

    assert counted("sendmsg_retries_total") == before + 1


def test_a_message_that_dies_counts_as_a_dead_letter(alice: Member) -> None:
    refused, silent = make_message(alice.account, State.SENDING), make_message(alice.account, State.SENT)
    before = counted("sendmsg_dead_letters_total", kind="message")

    transitions.apply([Change(refused.id, State.FAILED, code="invalid_recipient"), Change(silent.id, State.UNKNOWN)])

    assert counted("sendmsg_dead_letters_total", kind="message") == before + 1
