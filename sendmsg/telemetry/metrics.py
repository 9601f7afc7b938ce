"""Everything that is counted and timed, declared once; docs/metrics.md lists it and a test holds the two together.

Labels are bounded vocabularies: names of pumps, connections, routes, codes; never an id or a number. States, which may
fall and vanish, are in `sendmsg.telemetry.gauges`.
"""

from prometheus_client import Counter, Histogram

HTTP_SECONDS = Histogram(
    "sendmsg_http_request_seconds",
    "Time to answer a request.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
ACCEPTED = Counter("sendmsg_messages_accepted_total", "Messages answered with 202.", ["channel", "mode"])
RELEASED = Counter("sendmsg_messages_released_total", "Messages handed to a connection's queue.", ["connection"])
OUTCOMES = Counter("sendmsg_send_outcomes_total", "What providers answered.", ["connection", "outcome"])
SEND_SECONDS = Histogram(
    "sendmsg_send_seconds",
    "Time of one provider call.",
    ["connection"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
SEND_ERRORS = Counter(
    "sendmsg_send_errors_total",
    "Answers of providers that were no acceptance, by our code for why.",
    ["connection", "code"],
)
HANDED_OVER = Histogram(
    "sendmsg_handed_over_seconds",
    "From accepting a message, or the time it was to be sent, until a provider had taken it, or it expired.",
    ["priority", "mode"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
DELIVERED = Histogram(
    "sendmsg_delivered_seconds",
    "From the same until its receipt said that it had arrived.",
    ["priority", "mode"],
    buckets=(1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400),
)
RETRIES = Counter("sendmsg_retries_total", "Tries that failed and after which a message was queued again.")
FINAL = Counter("sendmsg_messages_final_total", "Messages that reached a final state.", ["state"])
LEASES_EXPIRED = Counter("sendmsg_leases_expired_total", "Messages whose worker or task was lost.", ["state"])
FAILOVERS = Counter(
    "sendmsg_failovers_total", "Messages released elsewhere after a failed try, by the new connection.", ["connection"]
)
BREAKER_CHANGES = Counter("sendmsg_breaker_changes_total", "Moves of breakers, by new state.", ["connection", "state"])
DOUBTS_GIVEN_UP = Counter(
    "sendmsg_doubts_given_up_total", "Messages sent elsewhere though they may arrive twice.", ["connection"]
)
TOKEN_SECONDS = Counter(
    "sendmsg_pacing_wait_seconds_total", "Seconds that calls waited for their turn.", ["connection"]
)
RECEIPTS = Counter("sendmsg_receipts_total", "Receipts by what became of them.", ["connection", "result"])
RECEIPT_STATUSES = Counter(
    "sendmsg_receipt_statuses_total", "Receipts that moved their message, by what they said.", ["connection", "status"]
)
RECEIPT_LAG = Histogram(
    "sendmsg_receipt_lag_seconds",
    "From a webhook's arrival until its receipt had found its message.",
    buckets=(0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
RECEIPTS_STORED = Counter("sendmsg_receipts_stored_total", "Webhooks stored, by where.", ["where"])
RECEIPTS_REFUSED = Counter("sendmsg_receipts_refused_total", "Webhooks refused, by reason.", ["reason"])
ENQUIRIES = Counter(
    "sendmsg_enquiries_total", "Questions to providers about messages without a receipt.", ["connection", "answer"]
)
INBOUND = Counter("sendmsg_inbound_messages_total", "Messages from people, by whose they are.", ["connection", "owned"])
SUPPRESSIONS = Counter("sendmsg_suppressions_total", "Recipients that began to be suppressed, by reason.", ["reason"])
BLOCKED = Counter(
    "sendmsg_messages_blocked_total", "Messages that were claimed and not allowed to be sent, by reason.", ["code"]
)
DEAD_LETTERS = Counter("sendmsg_dead_letters_total", "Dead letters, by what died.", ["kind"])
CALLBACKS = Counter(
    "sendmsg_callbacks_total", "Calls to clients' endpoints, by what became of the callback.", ["result"]
)
CALLBACK_SECONDS = Histogram(
    "sendmsg_callback_seconds", "Time of one call to a client's endpoint.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15)
)
CALLBACK_LAG = Histogram(
    "sendmsg_callback_lag_seconds",
    "From what happened to the end of its first call to an endpoint.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600),
)
ENDPOINTS_DISABLED = Counter(
    "sendmsg_callback_endpoints_disabled_total", "Clients' endpoints that are not called any more.", ["reason"]
)
ARCHIVED = Counter("sendmsg_archived_rows_total", "Lines written to the archive, by kind of file.", ["kind"])
RETIRED = Counter(
    "sendmsg_retired_rows_total", "Rows that were deleted or shortened because their time was over, by kind.", ["kind"]
)
PUMP_SECONDS = Histogram(
    "sendmsg_pump_step_seconds", "Time of one step of a pump.", ["pump"], buckets=(0.001, 0.01, 0.1, 1, 10)
)
PUMP_ITEMS = Counter("sendmsg_pump_items_total", "Items a pump handled.", ["pump"])
PUMP_FAILURES = Counter("sendmsg_pump_failures_total", "Steps of a pump that raised.", ["pump"])

# A counter that begins with what it counts first shows Prometheus no rise: those that an alert waits for begin at 0.
for _counter, _words in (
    (DEAD_LETTERS, ("message", "task", "webhook")),
    (ENDPOINTS_DISABLED, ("gone", "failing")),
    (FINAL, ("delivered", "undelivered", "failed", "expired", "unknown")),
    (LEASES_EXPIRED, ("released", "sending")),
    (RECEIPTS_STORED, ("redis", "broker", "spool")),
    (CALLBACKS, ("delivered", "retried", "failed")),
):
    for _word in _words:
        _counter.labels(_word)
