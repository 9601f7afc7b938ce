"""The promise on a good day: every message is delivered, sent once, and its whole life is in the logs database."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.stack.stack import Stack

LIFE = ["accepted", "released", "sending", "sent", "delivered"]


def test_a_message_goes_the_whole_way_and_its_timeline_tells_each_step(stack: Stack) -> None:
    message_id = stack.send(client_reference="order-7", metadata={"shop": "Oslo"})

    message = stack.finished(message_id)
    stack.logged([message_id], LIFE)

    assert message["status"] == "delivered"
    assert (message["provider"], message["error"], message["client_reference"]) == ("sendmsg", None, "order-7")
    events = stack.timeline(message_id)
    assert [event["type"] for event in events] == LIFE
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert events[-1]["data"]["connection"] == "sendmsg"


def test_a_test_key_reaches_the_sandbox_connection_and_sees_only_its_own(stack: Stack) -> None:
    message_id = stack.send(key="test")

    stack.finished(message_id, key="test")

    [(connection,)] = stack.sql(
        "SELECT c.name FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id WHERE m.id = %s",
        message_id,
    )
    assert connection == "sandbox"
    answer = stack.http.get(f"{stack.url}/v1/messages/{message_id}", headers=stack.headers("live"), timeout=10)
    assert answer.status_code == 404


@pytest.mark.timeout(240)
def test_a_thousand_messages_are_each_sent_once_and_delivered(stack: Stack) -> None:
    sessions = stack.sessions()

    ids = stack.send_many(1000)

    assert stack.settled(ids) == {"delivered": 1000}
    # Celery's fixup closes every database connection around each task unless it is told not to.
    assert stack.sessions() - sessions < 100
    received = stack.received()
    assert all(received[message_id]["sends"] == 1 for message_id in ids)
    stack.logged(ids, LIFE)
    tables = {row[0] for row in stack.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert not {name for name in tables if name.startswith(("logs_", "django_celery_results_"))}
    # One that was handed back before its call, by a breaker or a pause that others brought about, is no send.
    mine = "message_id = ANY(%s::uuid[]) AND outcome <> 'not_sent'"
    sends = f"SELECT outcome, code, count(*) FROM dispatch_attempt WHERE {mine} GROUP BY 1, 2"
    assert stack.sql(sends, ids) == [("accepted", "", 1000)]


def test_a_scheduled_message_waits_until_its_time(stack: Stack) -> None:
    send_at = datetime.now(UTC) + timedelta(seconds=3)
    message_id = stack.send(send_at=send_at.isoformat())
    waiting = stack.message(message_id)

    stack.finished(message_id)

    [(started,)] = stack.sql("SELECT started_at FROM dispatch_attempt WHERE message_id = %s", message_id)
    assert waiting["status"] == "queued"
    assert started >= send_at
    assert started - send_at < timedelta(seconds=3)
