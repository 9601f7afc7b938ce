"""Every state that is measured and not counted, declared once; docs/metrics.md lists them beside the counters.

They are read off the databases, Redis and RabbitMQ by `manage.py measure`, and never while somebody scrapes.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Gauge:
    """A state: its name, what it is, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of a gauge, and those of its labels, in their order."""

    gauge: Gauge
    value: float
    labels: tuple[str, ...] = ()


MEASURED_AT: Final = Gauge("sendmsg_measured_at_seconds", "Unix time of the measurement that the other states are of.")
MEASURED: Final = Gauge("sendmsg_measured", "Whether a part could be measured: 1, or 0.", ("part",))

DUE: Final = Gauge(
    "sendmsg_due_messages",
    "Queued messages that are due, by connections that could take them.",
    ("connection", "priority"),
)
DUE_OLDEST: Final = Gauge(
    "sendmsg_due_oldest_seconds", "For how long the oldest of them has been due.", ("connection", "priority")
)
RELAY_LAG: Final = Gauge(
    "sendmsg_relay_lag_seconds", "For how long the oldest message has been due that a connection has room for."
)
UNDER_WAY: Final = Gauge(
    "sendmsg_under_way_messages", "Messages that were released, or are being sent.", ("connection", "state")
)
UNDER_WAY_OLDEST: Final = Gauge(
    "sendmsg_under_way_oldest_seconds", "For how long the oldest of them has been so.", ("connection", "state")
)
BREAKER: Final = Gauge(
    "sendmsg_breaker_state", "Breaker of a connection: 0 closed, 1 half open, 2 open.", ("connection",)
)
WEIGHT: Final = Gauge(
    "sendmsg_connection_weight", "Weight that speed and failures leave to a connection.", ("connection",)
)
PAUSED: Final = Gauge("sendmsg_connection_paused", "Whether an operator paused a connection: 1, or 0.", ("connection",))
QUEUE_TASKS: Final = Gauge("sendmsg_queue_tasks", "Tasks on a connection's queue on the broker.", ("connection",))
QUEUE_CONSUMERS: Final = Gauge("sendmsg_queue_consumers", "Workers that listen to that queue.", ("connection",))
DEAD_TASKS: Final = Gauge("sendmsg_dead_queue_tasks", "Tasks on the broker's dead queue, not yet stored.")
LETTERS: Final = Gauge("sendmsg_dead_letters_open", "Dead letters that nobody has handled.")
LETTERS_OLDEST: Final = Gauge("sendmsg_dead_letters_oldest_seconds", "Age of the oldest of them.")
BUFFERED: Final = Gauge("sendmsg_receipts_buffered", "Webhooks that are stored and not yet processed.", ("where",))
BUFFERED_OLDEST: Final = Gauge("sendmsg_receipts_oldest_seconds", "Age of the oldest webhook in Redis.")
PARKED: Final = Gauge("sendmsg_receipts_parked", "Receipts whose message is not known or not sent yet.")
PARKED_OLDEST: Final = Gauge("sendmsg_receipts_parked_oldest_seconds", "Age of the oldest of them.")
ANNOUNCED_OLDEST: Final = Gauge(
    "sendmsg_announcements_oldest_seconds", "Age of the oldest thing that is not yet a callback."
)
CALLBACKS: Final = Gauge("sendmsg_callbacks_due", "Callbacks that are due, to endpoints that are called now.")
CALLBACKS_OLDEST: Final = Gauge("sendmsg_callbacks_oldest_seconds", "For how long the oldest of them has been due.")
ENDPOINTS_OFF: Final = Gauge(
    "sendmsg_callback_endpoints_off", "Endpoints that are not called any more, by reason.", ("reason",)
)
JOURNAL: Final = Gauge("sendmsg_journal_entries", "Batches of events that wait for the log writer.")
JOURNAL_OLDEST: Final = Gauge("sendmsg_journal_oldest_seconds", "Age of the oldest of them.")
PARTITIONS_AHEAD: Final = Gauge("sendmsg_partitions_ahead", "Days after today that have their partition.")
ARCHIVE_AGE: Final = Gauge(
    "sendmsg_archive_age_seconds",
    "How far behind the archive is: since when the oldest day of the timeline should have left.",
)

GAUGES: Final = {gauge.name: gauge for gauge in list(vars().values()) if isinstance(gauge, Gauge)}
"""By name."""
