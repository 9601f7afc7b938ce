"""Receipts are stored once each, the first of them, whatever a provider repeats."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from dispatch.models import Connection
from dispatch.vocabulary import ReceiptStatus
from tests.factories import make_receipt
from webhooks.inbound import stored
from webhooks.inbound.base import ReportedReceipt
from webhooks.models import Receipt

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(provider_id: str, code: str = "", status: ReceiptStatus = ReceiptStatus.DELIVERED) -> ReportedReceipt:
    return ReportedReceipt(provider_id, status, code, AT - timedelta(seconds=1), None)


def rows() -> list[tuple[str, str, str]]:
    return list(Receipt.objects.order_by("id").values_list("provider_id", "status", "error_code"))


def test_a_receipt_waits_as_it_was_reported(line: Connection) -> None:
    echoed = uuid4()
    told = ReportedReceipt("snd_1", ReceiptStatus.UNDELIVERED, "absent", AT - timedelta(seconds=1), echoed)

    stored.store({line.id: [(told, AT)]})

    row = Receipt.objects.get()
    assert (row.connection, row.provider_id, row.status, row.error_code) == (line, "snd_1", "undelivered", "absent")
    assert (row.at, row.received_at, row.echoed_id) == (AT - timedelta(seconds=1), AT, echoed)
    assert (row.state, row.message) == (Receipt.State.PARKED, None)


def test_of_those_that_are_the_same_the_first_one_counts(line: Connection) -> None:
    stored.store({line.id: [(report("snd_1", "first"), AT), (report("snd_1", "second"), AT)]})
    stored.store({line.id: [(report("snd_1", "third"), AT)]})

    assert rows() == [("snd_1", "delivered", "first")]


def test_another_status_is_another_receipt(line: Connection) -> None:
    stored.store({line.id: [(report("snd_1"), AT), (report("snd_1", status=ReceiptStatus.SENT), AT)]})

    assert [status for _, status, _ in rows()] == ["delivered", "sent"]


def test_they_are_written_in_the_order_of_their_index(line: Connection) -> None:
    stored.store({line.id: [(report(f"snd_{number}"), AT) for number in (3, 1, 2)]})

    assert [name for name, _, _ in rows()] == ["snd_1", "snd_2", "snd_3"]


def test_nothing_asks_nothing() -> None:
    with CaptureQueriesContext(database) as queries:
        stored.store({})
        stored.settle([])

    assert len(queries) == 0


def test_what_nobody_sent_is_not_found(line: Connection) -> None:
    make_receipt(line, "snd_nobody", "delivered")

    assert stored.find() == []
