"""How receipts and callbacks stand, for the metrics (`sendmsg.telemetry.measuring`)."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection as database
from django.db.models import Count
from django.utils import timezone

from dispatch.models import Announcement
from sendmsg import redis
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading
from webhooks.callbacks.due import LINE, TRUSTED
from webhooks.callbacks.models import Endpoint
from webhooks.callbacks.vocabulary import EndpointState
from webhooks.inbound import buffer as places
from webhooks.inbound import buffer_sqs
from webhooks.inbound.buffer_redis import APPEND_TIMEOUT, STREAM, client
from webhooks.inbound.spool import CLAIMED, OPEN
from webhooks.models import Receipt

BOUND: Final = 10_000  # of everything that is counted here
OF_EACH: Final = 1_000  # callbacks that are counted of one endpoint
SQS_LENGTH: Final = "ApproximateNumberOfMessages"

COUNTED = """
SELECT COALESCE(sum(due.count), 0), min(line.due_at) FROM line JOIN webhooks_endpoint e ON e.id = line.endpoint_id
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM webhooks_callback
        WHERE state = 'waiting' AND endpoint_id = line.endpoint_id AND due_at <= %(now)s
        LIMIT %(of_each)s
    ) counted
) due
WHERE line.due_at <= %(now)s AND e.state = 'enabled' AND e.failures < %(trusted)s
    AND (e.paused_until IS NULL OR e.paused_until <= %(now)s)
"""
DUE = LINE + COUNTED


def buffer() -> Iterator[Reading]:
    """Webhooks between our answer and their rows; of the spool those of this host alone."""
    yield from _of_sqs() if places.is_sqs() else _of_redis()
    if settings.RECEIPTS_SPOOL_DIR:
        files = [path for path in Path(settings.RECEIPTS_SPOOL_DIR).iterdir() if path.suffix in (OPEN, CLAIMED)]
        yield Reading(gauges.BUFFERED, len(files), ("spool",))


def _of_redis() -> Iterator[Reading]:
    """By the clock of Redis, which the ids of a stream begin with, in milliseconds."""
    stream, connection = redis.key(STREAM), client(APPEND_TIMEOUT)
    first: Any = connection.xrange(stream, count=1)
    seconds, micros = connection.time()
    age = seconds + micros / 1e6 - int(first[0][0].partition(b"-")[0]) / 1000 if first else 0.0
    yield Reading(gauges.BUFFERED, connection.xlen(stream), ("redis",))
    yield Reading(gauges.BUFFERED_OLDEST, max(0.0, age))


def _of_sqs() -> Iterator[Reading]:
    client, url = buffer_sqs.queue(buffer_sqs.ANSWER_TIMEOUT)
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=[SQS_LENGTH])
    yield Reading(gauges.BUFFERED, float(answer["Attributes"][SQS_LENGTH]), ("sqs",))


def receipts() -> Iterator[Reading]:
    """Those that wait for their message."""
    parked = Receipt.objects.filter(state=Receipt.State.PARKED).order_by("id")
    yield Reading(gauges.PARKED, parked[:BOUND].count())
    yield Reading(gauges.PARKED_OLDEST, _age(parked.values_list("received_at", flat=True).first()))


def callbacks() -> Iterator[Reading]:
    """Those of endpoints that answer: who waits for a dead one waits for nobody else."""
    with database.cursor() as cursor:
        cursor.execute(DUE, {"now": timezone.now(), "trusted": TRUSTED, "of_each": OF_EACH})
        count, oldest = cursor.fetchone()
    yield Reading(gauges.CALLBACKS, float(count))
    yield Reading(gauges.CALLBACKS_OLDEST, _age(oldest))
    announced = Announcement.objects.order_by("id").values_list("at", flat=True).first()
    yield Reading(gauges.ANNOUNCED_OLDEST, _age(announced))
    off = Endpoint.objects.filter(state=EndpointState.DISABLED).order_by()
    for reason, number in off.values_list("disabled_reason").annotate(count=Count("id")):
        yield Reading(gauges.ENDPOINTS_OFF, number, (reason,))


def _age(since: datetime | None) -> float:
    """Seconds; 0 where there is nothing."""
    return max(0.0, (timezone.now() - since).total_seconds()) if since is not None else 0.0
