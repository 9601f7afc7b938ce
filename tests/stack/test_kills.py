"""The promise on a bad day: whatever dies in the middle of a thousand messages, none is lost and none is sent twice."""

import pytest

from tests.servers.rabbitmq import RabbitMQ
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(300)
COUNT = 1000


def check_nothing_lost_nothing_doubled(stack: Stack, ids: list[str]) -> None:
    """Every message is final, and the provider sent each exactly once, or at most once where nobody can know."""
    states = stack.settled(ids, seconds=120)
    received = stack.received()
    sends = {message_id: received.get(message_id, {"sends": 0})["sends"] for message_id in ids}

    assert set(states) <= {"delivered", "unknown"}
    assert max(sends.values()) == 1
    mine = "message_id = ANY(%s::uuid[])"
    [(doubts, in_doubt)] = stack.sql(
        f"SELECT count(*), count(DISTINCT message_id) FROM dispatch_attempt WHERE outcome = 'unknown' AND {mine}", ids
    )
    replays = sum(received[message_id]["replays"] for message_id in ids if message_id in received)
    print(f"{dict(states)}, {in_doubt} in doubt and resolved, {replays} repeats recognised by the provider")
    assert states["unknown"] <= in_doubt
    assert sum(sends.values()) >= states["delivered"]
    assert replays <= doubts  # only a message in doubt is ever repeated
    stack.logged(ids, ["accepted", "released", "sending"])
    delivered = stack.sql(
        "SELECT id::text FROM dispatch_message WHERE state = 'delivered' AND id = ANY(%s::uuid[])", ids
    )
    stack.logged([row[0] for row in delivered], ["sent", "delivered"])


@pytest.mark.parametrize(
    ("victims", "count"), [(("worker", "worker-2"), COUNT), (("relay",), COUNT), (("receipts", "logwriter"), 300)]
)
def test_processes_killed_in_the_middle_lose_nothing(stack: Stack, victims: tuple[str, ...], count: int) -> None:
    def blow(accepted: int) -> None:
        if accepted == count // 2:
            for victim in victims:
                stack.processes[victim].restart()

    check_nothing_lost_nothing_doubled(stack, stack.send_many(count, after=blow))


def test_a_restart_of_rabbitmq_in_the_middle_loses_nothing(stack: Stack, rabbitmq: RabbitMQ) -> None:
    def blow(accepted: int) -> None:
        if accepted == COUNT // 2:
            rabbitmq.restart()

    check_nothing_lost_nothing_doubled(stack, stack.send_many(COUNT, after=blow))


def test_with_rabbitmq_stopped_messages_are_accepted_and_delivered_after_its_return(
    stack: Stack, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.stop()
    try:
        ids = stack.send_many(100)
        assert stack.states(ids) == {"queued": 100}
    finally:
        rabbitmq.start()

    assert stack.settled(ids) == {"delivered": 100}
    assert all(stack.received()[message_id]["sends"] == 1 for message_id in ids)
