"""The buffer as a queue of AWS SQS: `RECEIPTS_BUFFER_URL=sqs://<region>/<queue>?endpoint=<url>`, with the extra `sqs`.

The queue is named as it is, or `<account>/<name>` for one of another account; it is a standard queue that exists.
Credentials are found as boto3 does: environment, profile, role. A message is the packed entry, deflated and in base64;
what exceeds SQS's bound even then goes to the next place (`too_large`). It is deleted after its rows are committed;
until then nobody else sees it for `HIDDEN` seconds.
API: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
"""

import base64
import binascii
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from django.conf import settings

from sendmsg.errors import BufferUnavailable
from webhooks.inbound.base import Payload
from webhooks.inbound.entries import Buffered, pack, unpack

CONNECT_TIMEOUT = 0.3  # seconds
ANSWER_TIMEOUT = 0.9  # seconds; over the usual 10 to 50 ms of a send
LONGEST_POLL = 1  # seconds, of which SQS takes whole ones only; parked receipts are looked at after each
HIDDEN = 60  # seconds in which an entry that was read and not deleted is seen by nobody else; far over a batch
MOST = 10  # entries of one call, by the API's bound
LARGEST = 262_144  # bytes of a message that every SQS queue takes
INFLATED = 4_194_304  # bytes; over what we pack, so that nobody else's message fills the memory


class SqsStore:
    where: ClassVar[str] = "sqs"

    def append(self, connection: str, payload: Payload) -> None:
        body = base64.b64encode(zlib.compress(pack(connection, payload))).decode()
        if len(body) > LARGEST:
            raise BufferUnavailable("over the size of an SQS message", code="too_large")
        try:
            client, url = queue(ANSWER_TIMEOUT)
            client.send_message(QueueUrl=url, MessageBody=body)
        except Exception as error:  # botocore has many, and what is wrong with our set-up must not lose a webhook
            raise BufferUnavailable(type(error).__name__) from None


class SqsSource:
    """Any number may read. What is held longer than `HIDDEN` comes to another too, and makes no second row."""

    def __init__(self) -> None:
        self._held: list[Buffered] = []

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        """Waits up to `LONGEST_POLL`, and not at all once it has something. Raises what botocore raises."""
        client, url = queue(LONGEST_POLL + ANSWER_TIMEOUT)
        wait = LONGEST_POLL if block >= 0.1 else 0
        while not self._held or len(self._held) + MOST <= count:
            answer = client.receive_message(
                QueueUrl=url, MaxNumberOfMessages=MOST, VisibilityTimeout=HIDDEN, WaitTimeSeconds=wait
            )
            found = answer.get("Messages", [])
            self._held += [unpack(message["ReceiptHandle"], _inflated(message["Body"])) for message in found]
            if len(found) < MOST:
                break
            wait = 0
        return self._held

    def done(self, entries: Sequence[Buffered]) -> None:
        """What SQS fails to delete comes again after `HIDDEN`."""
        self._held = []
        client, url = queue(LONGEST_POLL + ANSWER_TIMEOUT)
        for start in range(0, len(entries), MOST):
            batch = [
                {"Id": str(number), "ReceiptHandle": entry.entry}
                for number, entry in enumerate(entries[start : start + MOST])
            ]
            client.delete_message_batch(QueueUrl=url, Entries=batch)

    def coming(self, seconds: float) -> bool:
        """SQS counts what it has, and not when the last one came."""
        return True

    def close(self) -> None:
        self._held = []


@cache
def queue(answer_timeout: float) -> tuple[Any, str]:
    """A client, which is thread-safe, and the URL of the queue."""
    import boto3  # noqa: PLC0415  an extra, and slow to import
    from botocore.config import Config  # noqa: PLC0415

    parts = urlsplit(settings.RECEIPTS_BUFFER_URL)
    account, _, name = parts.path.strip("/").rpartition("/")
    waits = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=answer_timeout, retries={"total_max_attempts": 1})
    endpoint = parse_qs(parts.query).get("endpoint", [None])[0]
    # A session of its own: boto3's default one is not made for threads.
    client = boto3.session.Session().client("sqs", region_name=parts.hostname, endpoint_url=endpoint, config=waits)
    owner = {"QueueOwnerAWSAccountId": account} if account else {}
    return client, str(client.get_queue_url(QueueName=name, **owner)["QueueUrl"])


def _inflated(body: str) -> bytes:
    """What we sent; anything else as it is, for the pump to put aside."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(body, validate=True), INFLATED)
    except (binascii.Error, ValueError, zlib.error):
        return body.encode()
