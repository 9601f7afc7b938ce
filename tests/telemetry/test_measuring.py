"""States as they are measured: by whom they wait for, with bounded queries, and without what is away."""

import json
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch import breaker, due
from dispatch import measures as dispatch_measures
from dispatch.breaker import Observed
from dispatch.models import Announcement, DeadLetter, Message
from dispatch.states import State
from dispatch.topology import declare
from sendmsg import redis
from sendmsg.journal import measures as journal_measures
from sendmsg.journal.models import JournalEntry
from sendmsg.telemetry import gauges, measured, measuring
from sendmsg.telemetry.gauges import GAUGES, Reading
from tests.archiving import archive  # noqa: F401  a fixture
from tests.cast import Member
from tests.factories import make_connection, make_message, make_route
from tests.stack.processes import Process, free_port
from tests.telemetry.scrapes import scrape
from tests.waiting import eventually
from webhooks import measures as webhook_measures
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.inbound.buffer_redis import STREAM

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def ago(seconds: float = 0) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def readings(found: Iterable[Reading]) -> dict[str, float]:
    return {",".join([one.gauge.name.removeprefix("sendmsg_"), *one.labels]): one.value for one in found}


def make_endpoint(member: Member, name: str, **fields: Any) -> Endpoint:
    secrets: dict[str, Any] = {"secret": {}, "old_secrets": []}
    return Endpoint.objects.create(account=member.account, url=f"https://{name}.example/", **secrets, **fields)


def test_what_is_due_waits_for_everybody_who_could_take_it(alice: Member) -> None:
    make_connection("main")
    make_connection("backup")
    make_message(alice.account, due_at=ago(90))
    make_message(alice.account, due_at=ago())
    make_message(alice.account, due_at=ago(-3600))

    found = readings(dispatch_measures.messages())

    for name in ("main", "backup"):
        assert found[f"due_messages,{name},normal"] == 2
        assert found[f"due_oldest_seconds,{name},normal"] >= 90
    assert found["relay_lag_seconds"] >= 90


def test_what_nobody_could_take_waits_for_nobody(alice: Member) -> None:
    make_message(alice.account, due_at=ago(90))

    found = readings(dispatch_measures.messages())

    assert found["due_messages,-,normal"] == 1
    assert found["relay_lag_seconds"] == 0


def test_a_message_that_waits_for_a_connection_of_its_own_is_no_lag_of_the_relay(alice: Member) -> None:
    main, chosen = make_connection("main"), make_connection("chosen", enabled=False)
    make_message(alice.account, due_at=ago(90), chosen_connection=chosen)
    make_message(alice.account, due_at=ago(), in_doubt=True, connection=chosen)

    assert readings(dispatch_measures.messages())["relay_lag_seconds"] == 0

    make_message(alice.account, due_at=ago(30), chosen_connection=main)
    assert 30 <= readings(dispatch_measures.messages())["relay_lag_seconds"] < 90


def test_what_is_counted_is_bounded(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_measures, "BOUND", 2)
    monkeypatch.setattr(dispatch_measures, "LEAST", 2)
    make_connection("main")
    for _ in range(4):
        make_message(alice.account, due_at=ago(90))

    assert readings(dispatch_measures.messages())["due_messages,main,normal"] == 2


def test_what_is_under_way_is_its_connections(alice: Member) -> None:
    main = make_connection("main")
    make_message(alice.account, State.RELEASED, connection=main)
    make_message(alice.account, State.SENDING, connection=main, updated_at=ago(90))

    found = readings(dispatch_measures.messages())

    assert (found["under_way_messages,main,released"], found["under_way_messages,main,sending"]) == (1, 1)
    assert found["under_way_oldest_seconds,main,sending"] >= 90


def test_a_connection_shows_its_breaker_its_weight_and_its_pause() -> None:
    make_connection("main", paused_at=ago())
    breaker.record("main", [Observed(False, 0.1, code="timeout")] * 5)

    found = readings(dispatch_measures.connections())

    assert (found["breaker_state,main"], found["connection_paused,main"]) == (2, 1)
    assert found["connection_weight,main"] == pytest.approx(5)


def test_the_broker_says_what_waits_and_who_listens(rabbitmq_server: Any) -> None:
    from dispatch import broker

    make_connection("main")
    make_connection("undeclared")
    connection = broker.connect()
    channel: Any = connection.default_channel
    declare(connection, ["main"])
    try:
        producer = connection.Producer()
        producer.publish({}, routing_key="deliver.main", exchange="deliver")
        found = readings(dispatch_measures.queues())
        assert (found["queue_tasks,main"], found["queue_consumers,main"]) == (1, 0)
        assert (found["dead_queue_tasks"], found["receipts_buffered,broker"]) == (0, 0)
        assert "queue_tasks,undeclared" not in found
    finally:
        channel.queue_delete("deliver.main")
        connection.release()


def test_open_dead_letters_are_counted_and_aged() -> None:
    DeadLetter.objects.create(reason="timeout", created_at=ago(90))
    DeadLetter.objects.create(reason="timeout", state="discarded")

    found = readings(dispatch_measures.letters())

    assert found["dead_letters_open"] == 1
    assert found["dead_letters_oldest_seconds"] >= 90


@pytest.mark.usefixtures("clean_redis")
def test_webhooks_in_redis_have_an_age() -> None:
    assert readings(webhook_measures.buffer()) == {"receipts_buffered,redis": 0, "receipts_oldest_seconds": 0}
    milliseconds = int(ago().timestamp() * 1000) - 90_000
    redis.client().xadd(redis.key(STREAM), {"c": "main"}, id=f"{milliseconds}-0")

    found = readings(webhook_measures.buffer())

    assert found["receipts_buffered,redis"] == 1
    assert found["receipts_oldest_seconds"] >= 90


@pytest.mark.usefixtures("clean_redis")
def test_webhooks_in_the_spool_are_counted_by_files(tmp_path: Any, settings: Settings) -> None:
    settings.RECEIPTS_SPOOL_DIR = str(tmp_path)
    for name in ("a.spool", "b.1.claimed", "c.torn"):
        (tmp_path / name).touch()

    assert readings(webhook_measures.buffer())["receipts_buffered,spool"] == 2


def test_callbacks_of_an_endpoint_that_fails_are_nobodys_lag(alice: Member) -> None:
    well, dead = make_endpoint(alice, "a"), make_endpoint(alice, "b", failures=3)
    make_endpoint(alice, "c", state="disabled", disabled_reason="gone")
    for endpoint, due_at in ((well, ago(30)), (dead, ago(90)), (well, ago(-3600))):
        Callback.objects.create(
            endpoint=endpoint, event_id=endpoint.id, type="message.sent", body="{}", happened_at=ago(90), due_at=due_at
        )
    Announcement.objects.create(account_id=alice.account.pk, test=False, type="message.sent", data={}, at=ago(90))

    found = readings(webhook_measures.callbacks())

    assert found["callbacks_due"] == 1
    assert 30 <= found["callbacks_oldest_seconds"] < 90
    assert found["announcements_oldest_seconds"] >= 90
    assert found["callback_endpoints_off,gone"] == 1


def test_the_journal_has_the_age_of_its_oldest_entry() -> None:
    JournalEntry.objects.create(text="[]")
    JournalEntry.objects.update(created_at=ago(90))

    found = readings(journal_measures.journal())

    assert found["journal_entries"] == 1
    assert found["journal_oldest_seconds"] >= 90


def test_a_part_that_is_away_is_said_to_be_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, rabbitmq_server: Any
) -> None:
    def away() -> Iterable[Reading]:
        raise ConnectionError

    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.setattr(dispatch_measures, "queues", away)

    assert measuring.Measuring().step() == 0

    found = readings(measured.MEASURED._readings)
    assert {part: found[f"measured,{part}"] for part in measuring.PARTS} == {
        part: float(part != "queues") for part in measuring.PARTS
    }
    assert "journal_entries" in found


@pytest.mark.usefixtures("archive")
def test_every_gauge_is_measured_by_somebody(alice: Member, rabbitmq_server: Any) -> None:
    """With something of everything there is, no gauge stays without a reading."""
    make_route("first", make_connection("main"))
    make_message(alice.account, due_at=ago(90))
    make_message(alice.account, State.SENDING)
    make_endpoint(alice, "c", state="disabled", disabled_reason="gone")
    from dispatch import broker

    connection = broker.connect()
    channel: Any = connection.default_channel
    declare(connection, ["main"])

    measuring.Measuring().step()

    channel.queue_delete("deliver.main")
    connection.release()
    names = {one.gauge.name for one in measured.MEASURED._readings} | {gauges.MEASURED_AT.name}
    assert names == set(GAUGES)


@pytest.mark.parametrize("statement", [dispatch_measures.DEPTHS, dispatch_measures.LEAVING, due.QUEUES])
def test_no_look_at_messages_reads_the_table(statement: str, alice: Member) -> None:
    make_message(alice.account)
    row = Message.objects.get()
    parameters = {
        "lanes": [row.lane],
        "priorities": [1],
        "accounts": [str(alice.account.pk)],
        "now": ago(),
        "bound": 10,
        "open": [1],
    }
    assert scans(statement, parameters) == set()


def test_no_look_at_callbacks_reads_the_table() -> None:
    parameters = {"now": ago(), "trusted": 3, "of_each": 10}

    assert scans(webhook_measures.DUE, parameters) <= {"webhooks_endpoint"}


def scans(statement: str, parameters: dict[str, Any]) -> set[str]:
    """The tables that are read from end to end although the planner is told to avoid it: no index serves."""
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT json) {statement}", parameters)
        plan = cursor.fetchone()[0]
    return set(_scanned(plan if isinstance(plan, list) else json.loads(plan)))


def _scanned(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        for one in node:
            yield from _scanned(one)
    elif isinstance(node, dict):
        if node.get("Node Type") == "Seq Scan":
            yield node["Relation Name"]
        for one in node.values():
            yield from _scanned(one)


def test_the_process_shows_what_it_measures_and_ends_when_asked(tmp_path: Path, rabbitmq_server: Any) -> None:
    port, own = free_port(), str(database.settings_dict["NAME"])
    url = os.environ["DATABASE_URL"].replace(f"/{own.removeprefix('test_')}", f"/{own}")
    environment = {"METRICS_PORT": str(port), "DATABASE_URL": url}
    process = Process("measure", ["manage.py", "measure"], environment, tmp_path)
    process.start()
    try:
        found = eventually(
            lambda: shown if "sendmsg_measured_at_seconds" in (shown := scrape(port)) else {}, "measured", 40
        )
        assert {part: found[f"sendmsg_measured,{part}"] for part in measuring.PARTS} == dict.fromkeys(
            measuring.PARTS, 1
        )
    finally:
        code = process.stop()
    assert code == 0
