"""Three RabbitMQ nodes as in three zones: the one that everybody speaks to dies, and nothing is lost or sent twice."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers.obtain import Postgres, PrivateRabbitMQ, scratch_folder
from tests.servers.rabbitmq import Address, RabbitMQ
from tests.stack.stack import Servers, Stack
from tests.waiting import eventually

NODES = 3  # a majority of two is left when one dies


@pytest.fixture
def zones(private_rabbitmq: PrivateRabbitMQ) -> Iterator[list[RabbitMQ]]:
    """A cluster of its own. `private_rabbitmq` is asked for because it installs RabbitMQ where there is none."""
    nodes = [RabbitMQ(scratch_folder())]
    try:
        nodes[0].start()
        for _ in range(1, NODES):
            address = replace(nodes[0].address, port=Address.reserve().port)
            nodes.append(RabbitMQ(scratch_folder(), address, beside=nodes[0]))
            nodes[-1].start()
            nodes[-1].join()
        yield nodes
    finally:
        for node in reversed(nodes):
            node.remove()


@pytest.fixture
def stack(
    zones: list[RabbitMQ], tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres, valkey: EmbeddedValkey
) -> Iterator[Stack]:
    databases = postgres_server.create_databases()
    servers = Servers(*databases, valkey.url(), "zones", ";".join(node.url() for node in zones))
    running = Stack(servers, tmp_path_factory.mktemp("zones"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_a_zone_that_dies_in_the_middle_loses_no_message_and_sends_none_twice(
    stack: Stack, zones: list[RabbitMQ]
) -> None:
    first, second, _ = zones
    members = second.ctl("list_queues", "--vhost", "tests", "name", "type", "members")
    [queue] = [line for line in members.splitlines() if line.startswith("deliver.sendmsg\t")]
    assert "quorum" in queue
    assert queue.count("@localhost") == NODES

    ids = stack.send_many(300, after=lambda done: first.kill() if done == 100 else None)
    assert stack.settled(ids) == {"delivered": 300}

    assert first.pid is None  # all of that without it
    first.start()
    eventually(lambda: second.ctl("list_queues", "--vhost", "tests", "name", "state").count("running"), "queues run")
    later = stack.send_many(50)
    assert stack.settled(later) == {"delivered": 50}
    received = stack.received()
    assert {received[one]["sends"] for one in [*ids, *later]} == {1}
