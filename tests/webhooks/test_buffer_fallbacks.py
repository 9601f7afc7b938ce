"""When the buffer is away a webhook is stored elsewhere, and its receipt arrives all the same; else nobody says 200."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings
from redis.exceptions import RedisError

from dispatch import directory, topology
from dispatch.models import Connection, Message
from dispatch.states import State
from sendmsg.celery import app
from sendmsg.errors import BufferUnavailable
from tests.cast import Member
from tests.factories import make_message, make_reference
from tests.outages import database_away, redis_away
from tests.servers.obtain import Broker
from tests.waiting import eventually
from tests.webhooks.provider import deliver, report
from webhooks.inbound import buffer, circuit
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_broker import BrokerSource, BrokerStore
from webhooks.inbound.receipts import ReceiptsPump

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOBODY = "amqp://guest:guest@127.0.0.1:1//"


@pytest.fixture
def broker(rabbitmq_server: Broker, settings: Settings) -> Iterator[None]:
    """RabbitMQ as a fallback, its queue `receipts` gone before and after."""
    settings.BROKER_IS_RABBITMQ = True
    buffer.forget()
    _delete_queue()
    yield
    buffer.forget()
    _delete_queue()


@pytest.fixture
def spool(settings: Settings, tmp_path: Path) -> Path:
    settings.RECEIPTS_SPOOL_DIR = str(tmp_path)
    buffer.forget()
    return tmp_path


@pytest.fixture
def broker_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BROKER_IS_RABBITMQ = True
    monkeypatch.setattr(app.conf, "broker_write_url", NOBODY)
    buffer.forget()


@pytest.fixture
def pump() -> Iterator[ReceiptsPump]:
    """Made when it is first asked for, and closed: it holds a connection to the broker."""
    made = ReceiptsPump()
    yield made
    made.close()


@pytest.fixture
def sent(alice: Member, line: Connection) -> Message:
    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1")
    return message


def _delete_queue() -> None:
    with app.connection_for_write() as connection:
        topology.RECEIPTS_QUEUE(connection.default_channel).delete()


def waiting() -> int:
    """Webhooks in the broker's queue."""
    with app.connection_for_write() as connection:
        queue = topology.RECEIPTS_QUEUE(connection.default_channel)
        state: Any = queue.queue_declare(passive=True)
        return int(state.message_count)


def state(message: Message) -> str:
    return Message.objects.values_list("state", flat=True).get(id=message.id)


def stored(where: str) -> float:
    return REGISTRY.get_sample_value("sendmsg_receipts_stored_total", {"where": where}) or 0.0


def test_without_redis_the_broker_keeps_it_and_the_receipt_arrives(
    sent: Message, broker: None, pump: ReceiptsPump
) -> None:
    before = stored("broker")
    with redis_away():
        assert deliver(report("snd_1")).status_code == 200
    assert (waiting(), stored("broker")) == (1, before + 1)

    pump.step()

    assert (state(sent), waiting()) == (State.DELIVERED, 0)


def test_the_pump_empties_the_broker_while_redis_is_still_away(sent: Message, broker: None) -> None:
    with redis_away():
        deliver(report("snd_1"))
        pump = ReceiptsPump()
        with pytest.raises(RedisError):
            pump.step()
        pump.close()

    assert (state(sent), waiting()) == (State.DELIVERED, 0)


def test_without_redis_and_broker_the_spool_keeps_it_and_the_receipt_arrives(
    sent: Message, broker_away: None, spool: Path, pump: ReceiptsPump
) -> None:
    before = stored("spool")
    with redis_away():
        assert deliver(report("snd_1")).status_code == 200
    assert stored("spool") == before + 1

    pump.step()

    assert state(sent) == State.DELIVERED


def test_without_any_of_them_nothing_is_acknowledged(line: Connection, broker_away: None) -> None:
    with redis_away():
        assert deliver(report("snd_1")).status_code == 503


@pytest.mark.django_db(transaction=True)
def test_without_broker_and_database_it_is_kept_in_redis_and_without_redis_it_is_503(
    line: Connection, broker_away: None
) -> None:
    directory.forget()
    directory.entries()
    directory.forget()

    with database_away("default"):
        assert deliver(report("snd_1")).status_code == 200
        with redis_away():
            assert deliver(report("snd_2")).status_code == 503


def test_a_place_that_failed_is_not_waited_for_by_the_next_request(spool: Path, settings: Settings) -> None:
    """A Redis that takes connections and says nothing is asked once."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        settings.RECEIPTS_BUFFER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        wheres = {buffer.append("sendmsg", Payload(b"%d" % number, NOW)) for number in range(20)}
        silent.setblocking(False)
        asked = _accepted(silent)

    assert (wheres, asked) == ({"spool"}, 1)


def _accepted(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_redis_is_used_again_once_it_is_back(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_away():
        assert buffer.append("sendmsg", Payload(b"1", NOW)) == "spool"
    assert buffer.append("sendmsg", Payload(b"2", NOW)) == "spool"  # it is left alone for a moment

    later = time.monotonic() + circuit.QUIET
    monkeypatch.setattr(circuit, "time", SimpleNamespace(monotonic=lambda: later))

    assert [buffer.append("sendmsg", Payload(b"3", NOW)) for _ in range(2)] == ["redis", "redis"]


def test_another_redis_may_be_the_buffer(settings: Settings) -> None:
    settings.RECEIPTS_BUFFER_URL = settings.REDIS_URL

    with redis_away():
        assert buffer.append("sendmsg", Payload(b"1", NOW)) == "redis"


def test_a_connection_to_the_broker_that_died_meanwhile_is_made_again(broker: None) -> None:
    store = BrokerStore()
    store.append("sendmsg", Payload(b"1", NOW))
    assert store._connection is not None
    store._connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)

    store.append("sendmsg", Payload(b"2", NOW))

    assert waiting() == 2
    store.close()


def test_a_queue_that_is_full_refuses_and_says_so(broker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BrokerStore()
    with app.connection_for_write() as connection:
        full = topology.RECEIPTS_QUEUE(connection.default_channel)
        full.queue_arguments = {**(full.queue_arguments or {}), "x-max-length-bytes": 1}
        full.declare()
    monkeypatch.setattr(topology, "RECEIPTS_QUEUE", full)
    fill = partial(store.append, "sendmsg", Payload(b"x" * 1000, NOW))

    def refused() -> bool:
        """The bound is looked at some time after a publish."""
        try:
            fill()
        except BufferUnavailable as error:
            return error.detail == "MessageNacked"
        return False

    assert eventually(refused, "a publish is refused")
    store.close()


def test_what_the_pump_could_not_process_is_not_given_back_to_the_broker(broker: None) -> None:
    store, source = BrokerStore(), BrokerSource()
    store.append("sendmsg", Payload(b"1", NOW))

    first = list(source.read(10, 0))

    assert (source.read(10, 0), source.read(10, 0)) == (first, first)
    source.done(first)
    assert source.read(10, 0) == []
    store.close()
    source.close()


def test_what_a_killed_pump_took_from_the_broker_goes_to_another(broker: None) -> None:
    store, killed, other = BrokerStore(), BrokerSource(), BrokerSource()
    store.append("sendmsg", Payload(b"1", NOW))
    killed.read(10, 0)
    killed.close()

    entries = eventually(lambda: list(other.read(10, 0)), "the broker notices")

    assert [entry.payload.body for entry in entries] == [b"1"]
    other.done(entries)
    for one in (store, other):
        one.close()


def test_a_broker_that_is_away_is_said_and_holds_up_no_pump(
    sent: Message, broker_away: None, pump: ReceiptsPump
) -> None:
    with pytest.raises(OperationalError):
        BrokerSource().read(10, 0)
    deliver(report("snd_1"))

    pump.step()

    assert state(sent) == State.DELIVERED
