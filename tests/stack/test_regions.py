"""A worker in each of two regions, a route that names both in order: one stops, and its traffic leaves by the other.

The time that a released message waits for a worker is what operators have, not what other tests hurry it to.
"""

import signal
import time
from collections.abc import Iterator, Sequence

import pytest

from sendmsg.embedded.valkey import EmbeddedValkey
from sendmsg.variables import VARIABLES
from tests.servers.obtain import Postgres, PrivateRabbitMQ
from tests.stack.processes import Process
from tests.stack.stack import Servers, Stack
from tests.waiting import eventually

SENDER = "Regions"
WITHIN = 30  # seconds: the promise
RELEASE_LEASE = next(str(one.default) for one in VARIABLES if one.name == "RELEASE_LEASE")


@pytest.fixture(scope="module")
def regions(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    valkey: EmbeddedValkey,
    private_rabbitmq: PrivateRabbitMQ,
) -> Iterator[tuple[Stack, str]]:
    """One worker of each region; `eu` and `us` are connections to providers that know nothing of each other. The URL is
    the second provider's."""
    broker_url = private_rabbitmq.node.create_vhost("regions")
    servers = Servers(*postgres_server.create_databases(), valkey.url(), "regions", broker_url)
    folder = tmp_path_factory.mktemp("regions")
    running = Stack(servers, folder, RELEASE_LEASE=RELEASE_LEASE)
    for region, name in (("eu", "worker"), ("us", "worker-2")):
        command = ["manage.py", "worker", "--threads", "4", "--name", region]
        running.processes[name] = Process(region, command, {**running.environment, "REGION": region}, folder)
    try:
        running.start()
        with running.provider("sandbox-us") as (_, port):
            us_url = f"http://127.0.0.1:{port}"
            running.connect("eu", running.sandbox_url, sandbox=False, region="eu")
            running.connect("us", us_url, sandbox=False, region="us")
            running.route("regions", SENDER, "eu", "us")
            yield running, us_url
    finally:
        running.stop()


def send(stack: Stack, count: int) -> list[str]:
    return [stack.send(**{"from": SENDER}) for _ in range(count)]


def leaves_by(stack: Stack, region: str, seconds: float) -> list[str]:
    """What was sent until a message left by this region, which it does within `seconds`."""
    sent: list[str] = []

    def by_region() -> bool:
        sent.extend(send(stack, 1))
        rows = stack.sql(
            "SELECT count(*) FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id"
            " WHERE m.id = ANY(%s::uuid[]) AND c.name = %s AND m.state IN ('sent', 'delivered')",
            sent,
            region,
        )
        return bool(rows[0][0])

    eventually(by_region, f"messages leave by {region}", seconds, every=0.5)
    return sent


def sent_once(stack: Stack, us_url: str, ids: Sequence[str]) -> None:
    eu, us = stack.received(), stack.received(us_url)
    sends = {one: eu.get(one, {}).get("sends", 0) + us.get(one, {}).get("sends", 0) for one in ids}
    assert set(sends.values()) == {1}, {one: count for one, count in sends.items() if count != 1}


@pytest.mark.parametrize(("stop", "go_on"), [(signal.SIGKILL, None), (signal.SIGSTOP, signal.SIGCONT)])
def test_a_region_that_stops_loses_its_traffic_to_the_next_and_gets_it_back(
    regions: tuple[Stack, str], stop: signal.Signals, go_on: signal.Signals | None
) -> None:
    stack, us_url = regions
    worker = stack.processes["worker"]
    ids = leaves_by(stack, "eu", 60)
    ids += send(stack, 100)

    worker.signal(stop)
    stopped = time.monotonic()
    ids += send(stack, 100)
    ids += leaves_by(stack, "us", WITHIN - (time.monotonic() - stopped))
    away = send(stack, 100)
    assert stack.left_by(away) == {"us": 100}
    # What its queue held has left by the other; only what the worker itself held waits for it.
    left = "SELECT count(*) FROM dispatch_message WHERE id = ANY(%s::uuid[]) AND state = 'released'"
    eventually(lambda: stack.sql(left, ids) == [(0,)], "nothing lies on the queue of a region without workers", WITHIN)

    if go_on is None:
        worker.restart()
    else:
        worker.signal(go_on)
    back = leaves_by(stack, "eu", 60)
    everything = [*ids, *away, *back]
    assert stack.settled(everything, 120) == {"delivered": len(everything)}
    sent_once(stack, us_url, everything)


def test_without_another_region_messages_wait_and_a_dry_run_says_for_whom(regions: tuple[Stack, str]) -> None:
    stack, _ = regions
    worker = stack.processes["worker"]
    stack.route("eu alone", "EuAlone", "eu")
    ids: list[str] = []
    worker.kill()
    try:
        wanted = {"to": "+447700900900", "body": "hello", "from": "EuAlone"}

        def obstacles() -> set[str]:
            url = f"{stack.url}/v1/messages?dry_run=true"
            answer = stack.http.post(url, json=wanted, headers=stack.headers(), timeout=15)
            return {option["obstacle"] for option in answer.json()["options"] if option["connection"] == "eu"}

        eventually(lambda: obstacles() == {"no worker serves it"}, "the dry run says it", WITHIN, every=0.5)
        ids = [stack.send(**{"from": "EuAlone"}) for _ in range(5)]
        eventually(lambda: stack.states(ids) == {"queued": 5}, "they wait as rows", WITHIN)
    finally:
        worker.start()
    assert stack.left_by(ids) == {"eu": 5}
