"""A dependency that is away delays what needs it, and nothing else."""

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers.rabbitmq import RabbitMQ
from tests.stack.stack import Stack
from tests.waiting import eventually

LIFE = ["accepted", "released", "sending", "sent", "delivered"]


def test_while_the_logs_database_is_away_sending_goes_on_and_no_event_is_lost(stack: Stack) -> None:
    with stack.logs_away():
        ids = stack.send_many(50)
        assert stack.settled(ids) == {"delivered": 50}
        answer = stack.http.get(f"{stack.url}/v1/messages/{ids[0]}/events", headers=stack.headers(), timeout=15)
        assert (answer.status_code, answer.json()["code"]) == (503, "logs_unavailable")
        ready = stack.http.get(f"{stack.url}/readyz", timeout=15)
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")

    stack.logged(ids, LIFE)
    eventually(lambda: stack.sql("SELECT count(*) FROM journal_journalentry") == [(0,)], "the journal is empty")


def test_while_redis_is_away_messages_are_accepted_and_sent(stack: Stack, valkey: EmbeddedValkey) -> None:
    valkey.stop()
    try:
        ids = stack.send_many(20)
        eventually(lambda: set(stack.states(ids)) == {"sent"}, "all are with the provider", 30)
    finally:
        valkey.start()

    # The provider repeats a receipt until it is stored.
    assert stack.settled(ids) == {"delivered": 20}


def test_a_broker_that_takes_no_more_delays_messages_and_loses_none(stack: Stack, rabbitmq: RabbitMQ) -> None:
    rabbitmq.ctl("set_vm_memory_high_watermark", "0")  # RabbitMQ blocks every connection that publishes
    try:
        ids = stack.send_many(20)
        eventually(lambda: stack.events_of(ids, "retrying"), "a publish was given up and its messages put back", 30)
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")

    assert stack.settled(ids) == {"delivered": 20}
    assert all(stack.received()[message_id]["sends"] == 1 for message_id in ids)


def test_a_frozen_broker_does_not_freeze_the_api(stack: Stack, rabbitmq: RabbitMQ) -> None:
    rabbitmq.pause()
    try:
        ids = stack.send_many(20)
    finally:
        rabbitmq.resume()

    assert stack.settled(ids) == {"delivered": 20}
    assert all(stack.received()[message_id]["sends"] == 1 for message_id in ids)
