"""What happened to a connection, for people: its breaker's moves, pauses, weights. A line each, in log and database.

Fails open: a line that can't be written is lost, and the move it tells of happened all the same.
"""

from typing import Final

import structlog
from django.db import Error
from django.utils import timezone

from dispatch.models import Connection, ConnectionEvent
from dispatch.vocabulary import BreakerState, ConnectionChange
from sendmsg.telemetry import metrics

logger = structlog.stdlib.get_logger(__name__)

CHANGES: Final = {
    BreakerState.OPEN: ConnectionChange.OPENED,
    BreakerState.HALF_OPEN: ConnectionChange.PROBING,
    BreakerState.CLOSED: ConnectionChange.CLOSED,
}
REASON_LENGTH: Final = 200  # characters; what the column holds


def note_breaker(name: str, state: BreakerState, reason: str) -> None:
    """The breaker of the connection came to `state`. Never raises."""
    metrics.BREAKER_CHANGES.labels(name, state.value).inc()
    logger.warning("breaker moved", connection=name, state=state.value, reason=reason)
    try:
        row = Connection.objects.only("id").filter(name=name).first()
        if row is not None:
            ConnectionEvent.objects.create(connection=row, change=CHANGES[state], reason=reason[:REASON_LENGTH])
    except Error as error:
        logger.warning("history not written", connection=name, error=type(error).__name__)


def pause(connection: Connection, by: str, reason: str) -> bool:
    """Send nothing by it until somebody resumes it; False if it was paused before."""
    return _switch(connection, ConnectionChange.PAUSED, by, reason)


def resume(connection: Connection, by: str, reason: str = "") -> bool:
    """Send by it again; False if it was not paused."""
    return _switch(connection, ConnectionChange.RESUMED, by, reason)


def weigh(connection: Connection, weight: int, by: str) -> bool:
    """Give it another weight; False if it has that already."""
    before = connection.weight
    if before == weight:
        return False
    Connection.objects.filter(pk=connection.pk).update(weight=weight, updated_at=timezone.now())
    _write(connection, ConnectionChange.WEIGHED, by, f"{before} to {weight}")
    return True


def _switch(connection: Connection, change: ConnectionChange, by: str, reason: str) -> bool:
    pausing = change is ConnectionChange.PAUSED
    changed = Connection.objects.filter(pk=connection.pk, paused_at__isnull=pausing).update(
        paused_at=timezone.now() if pausing else None,
        pause_reason=reason[:REASON_LENGTH] if pausing else "",
        updated_at=timezone.now(),
    )
    if changed:
        _write(connection, change, by, reason)
    return bool(changed)


def _write(connection: Connection, change: ConnectionChange, by: str, reason: str) -> None:
    ConnectionEvent.objects.create(connection=connection, change=change, by=by, reason=reason[:REASON_LENGTH])
