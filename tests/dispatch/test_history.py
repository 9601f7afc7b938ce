"""What happens to a connection is written down, with who did it."""

import pytest
from django.db import connection as database

from dispatch import directory, history
from dispatch.models import ConnectionEvent
from dispatch.vocabulary import BreakerState
from tests.factories import make_connection

pytestmark = pytest.mark.django_db


def lines() -> list[tuple[str, str, str]]:
    return list(ConnectionEvent.objects.order_by("id").values_list("change", "by", "reason"))


def test_a_pause_holds_until_somebody_resumes_and_both_are_on_record() -> None:
    connection = make_connection()

    assert history.pause(connection, "admin:ann", "their status page is red")
    directory.forget()
    assert directory.entries()["sendmsg"].paused_at is not None
    assert history.resume(connection, "cli:root")
    directory.forget()
    assert directory.entries()["sendmsg"].paused_at is None

    assert lines() == [("paused", "admin:ann", "their status page is red"), ("resumed", "cli:root", "")]


def test_pausing_twice_is_one_pause() -> None:
    connection = make_connection()

    assert history.pause(connection, "a", "first")
    assert not history.pause(connection, "b", "second")
    assert lines() == [("paused", "a", "first")]


def test_a_new_weight_is_on_record_with_the_old_one() -> None:
    connection = make_connection(weight=100)

    assert history.weigh(connection, 20, "admin:ann")
    connection.refresh_from_db()
    assert not history.weigh(connection, 20, "admin:ann")

    assert connection.weight == 20
    assert lines() == [("weighed", "admin:ann", "100 to 20")]


def test_the_breaker_of_a_connection_that_is_gone_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    history.note_breaker("gone", BreakerState.OPEN, "timeout, 5 of 5")

    assert lines() == []
    assert 'breaker moved connection=gone state=open reason="timeout, 5 of 5"' in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_line_that_cant_be_written_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    make_connection()
    with database.cursor() as cursor:
        cursor.execute("ALTER TABLE dispatch_connectionevent RENAME TO away")
    try:
        history.note_breaker("sendmsg", BreakerState.OPEN, "timeout")
    finally:
        with database.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO dispatch_connectionevent")
    assert "history not written" in caplog.text
