"""The same promises with SQS for a buffer, against moto's server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from os import urandom

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pytest_django.fixtures import Settings

from dispatch.models import Connection
from dispatch.states import State
from sendmsg.errors import BufferUnavailable
from tests.cast import Member
from tests.factories import make_message, make_reference
from tests.webhooks.provider import deliver, report
from webhooks.inbound import buffer, buffer_sqs
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_sqs import SqsSource, SqsStore
from webhooks.inbound.entries import Buffered
from webhooks.inbound.receipts import ReceiptsPump

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of an AWS that is only ours."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def queue(aws: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty queue, which is the buffer."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("sqs", region_name=REGION, endpoint_url=aws)
    url = str(client.create_queue(QueueName="receipts")["QueueUrl"])
    settings.RECEIPTS_BUFFER_URL = f"sqs://{REGION}/receipts?endpoint={aws}"
    buffer.forget()
    yield url
    client.delete_queue(QueueUrl=url)
    client.close()


def append(*bodies: bytes) -> None:
    for body in bodies:
        SqsStore().append("sendmsg", Payload(body, NOW))


def drained(source: SqsSource, count: int = 200) -> list[bytes]:
    found: list[bytes] = []
    while entries := list(source.read(count, 0)):
        found += [entry.payload.body for entry in entries]
        source.done(entries)
    return found


def test_what_is_read_is_what_came() -> None:
    payload = Payload(bytes(range(256)), NOW, "GET", "a=%C3%A9&x=\xff", "text/plain; charset=\xe9")
    assert buffer.append("vonage", payload) == "sqs"

    [entry] = SqsSource().read(10, 0)

    assert entry == Buffered(entry.entry, "vonage", payload)


def test_everything_is_read_once_in_batches() -> None:
    bodies = [b"%d" % number for number in range(25)]
    append(*bodies)
    source = SqsSource()

    assert len(source.read(20, 0)) == 20
    assert sorted(drained(source)) == sorted(bodies)


def test_what_is_not_done_is_read_again_and_by_nobody_else_for_a_while() -> None:
    append(b"1")
    source = SqsSource()

    first = list(source.read(10, 0))

    assert (list(source.read(10, 0)), list(SqsSource().read(10, 0))) == (first, [])


def test_what_a_killed_pump_held_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_sqs, "HIDDEN", 0)
    append(b"1")
    SqsSource().read(10, 0)

    assert [entry.payload.body for entry in SqsSource().read(10, 0)] == [b"1"]


def test_a_large_webhook_that_deflates_is_taken_and_one_that_does_not_is_said_to_be_too_large() -> None:
    append(b"x" * 1_000_000)
    with pytest.raises(BufferUnavailable) as caught:
        append(urandom(300_000))

    assert caught.value.code == "too_large"


def test_what_is_too_large_for_it_goes_to_the_next_place(settings: Settings, tmp_path: object) -> None:
    settings.RECEIPTS_SPOOL_DIR = str(tmp_path)
    buffer.forget()

    assert buffer.append("sendmsg", Payload(urandom(300_000), NOW)) == "spool"
    assert buffer.append("sendmsg", Payload(b"1", NOW)) == "sqs"  # which is well


@pytest.mark.django_db
def test_what_is_too_large_for_every_place_is_413(line: Connection) -> None:
    body = report("snd_1", text=urandom(300_000).hex())

    assert deliver(body).status_code == 413


def test_a_message_that_we_did_not_send_becomes_nobodys_webhook(aws: str, queue: str) -> None:
    client = boto3.client("sqs", region_name=REGION, endpoint_url=aws)
    client.send_message(QueueUrl=queue, MessageBody="hello")
    client.close()

    [entry] = SqsSource().read(10, 0)

    assert (entry.connection, entry.payload.body) == ("", b"hello")


def test_a_queue_that_does_not_exist_is_no_place_to_store(settings: Settings, aws: str) -> None:
    settings.RECEIPTS_BUFFER_URL = f"sqs://{REGION}/nobodys?endpoint={aws}"
    buffer.forget()

    with pytest.raises(BufferUnavailable):
        append(b"1")


@pytest.mark.django_db
def test_a_receipt_goes_all_the_way(alice: Member, line: Connection, no_idling: None) -> None:
    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1")
    assert deliver(report("snd_1")).status_code == 200

    assert ReceiptsPump().step() == 1

    message.refresh_from_db()
    assert message.state == State.DELIVERED
    assert drained(SqsSource()) == []


@pytest.mark.django_db
def test_without_it_the_provider_is_asked_to_come_again(line: Connection, settings: Settings) -> None:
    settings.RECEIPTS_BUFFER_URL = f"sqs://{REGION}/receipts?endpoint=http://127.0.0.1:1"
    buffer.forget()

    assert deliver(report("snd_1")).status_code == 503
