"""Where a verified webhook is kept between our 200 and its processing, and where when that place is away.

    the buffer (a Redis stream, or SQS)  →  the broker's queue `receipts`  →  a spool file on this host  →  nowhere

Each is asked within a bounded wait, and left alone for a moment when it failed. What none of them confirms is not
acknowledged (`BufferUnavailable`): the provider sends it again. The receipts pump reads all of them; one that was
stored twice, because a confirm came too late, makes no second row.
"""

from collections.abc import Sequence
from functools import cache

import structlog
from django.conf import settings

from sendmsg.errors import BufferUnavailable
from sendmsg.telemetry import metrics
from webhooks.inbound import buffer_sqs, replays
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_broker import BrokerSource, BrokerStore
from webhooks.inbound.buffer_redis import Reader, RedisStore
from webhooks.inbound.buffer_sqs import SqsSource, SqsStore
from webhooks.inbound.circuit import Circuit
from webhooks.inbound.entries import MainSource, Source, Store
from webhooks.inbound.replays import Proof
from webhooks.inbound.spool import Spool, SpoolSource

logger = structlog.stdlib.get_logger(__name__)


def append(connection: str, payload: Payload, proof: Proof | None = None) -> str:
    """Store a webhook in the first place that confirms it, whose name is returned; raises `BufferUnavailable`.

    With a proof a copy of what was stored is not stored again, and what only looks like one is `SignatureRefused`.
    """
    codes: set[str] = set()
    for store, circuit in _stores():
        if not circuit.allows():
            codes.add(BufferUnavailable.code)
            continue
        try:
            stored = _store(store, connection, payload, proof)
        except BufferUnavailable as error:
            logger.warning("webhook not stored", where=store.where, reason=error.detail)
            codes.add(error.code)
            if error.code == BufferUnavailable.code:  # else it is about this one webhook
                circuit.failed()
        else:
            circuit.succeeded()
            metrics.RECEIPTS_STORED.labels(store.where).inc(stored)
            return store.where
    raise BufferUnavailable("no place to store it", code=codes.pop() if len(codes) == 1 else None)


def source(consumer: str) -> MainSource:
    """The buffer, for the pump of that name."""
    return SqsSource() if is_sqs() else Reader(consumer)


def fallbacks() -> Sequence[Source]:
    """What else the pump has to look at."""
    found: list[Source] = []
    if settings.BROKER_IS_RABBITMQ:
        found.append(BrokerSource())
    if settings.RECEIPTS_SPOOL_DIR:
        found.append(SpoolSource(settings.RECEIPTS_SPOOL_DIR))
    return found


def forget() -> None:
    """Choose the places anew, and ask those that failed."""
    for store, _ in _stores():
        if isinstance(store, BrokerStore):
            store.close()
    _stores.cache_clear()
    buffer_sqs.queue.cache_clear()


def _store(store: Store, connection: str, payload: Payload, proof: Proof | None) -> bool:
    """Whether it was stored now: it is remembered afterwards, and not before, or what failed would be no news."""
    if proof is None:
        store.append(connection, payload)
        return True
    if isinstance(store, RedisStore) and not settings.RECEIPTS_BUFFER_URL:
        return store.append_once(connection, payload, proof)
    if replays.known(proof):
        return False
    store.append(connection, payload)
    replays.remember(proof)
    return True


@cache
def _stores() -> Sequence[tuple[Store, Circuit]]:
    stores: list[Store] = [SqsStore() if is_sqs() else RedisStore()]
    if settings.BROKER_IS_RABBITMQ:
        stores.append(BrokerStore())
    if settings.RECEIPTS_SPOOL_DIR:
        stores.append(Spool(settings.RECEIPTS_SPOOL_DIR))
    return [(store, Circuit()) for store in stores]


def is_sqs() -> bool:
    """Whether the buffer is a queue of SQS, and not Redis."""
    return bool(settings.RECEIPTS_BUFFER_URL.startswith("sqs://"))
