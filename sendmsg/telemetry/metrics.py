"""Every metric of SendMSG, declared once; docs/metrics.md lists them and a test holds the two together.

With `PROMETHEUS_MULTIPROC_DIR` set, all processes that share the folder are served by the web's `/metrics`.
Labels are bounded vocabularies: names of pumps, connections, routes, codes; never an id or a number.
"""

from prometheus_client import Counter, Gauge, Histogram

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
FINAL = Counter("sendmsg_messages_final_total", "Messages that reached a final state.", ["state"])
LEASES_EXPIRED = Counter("sendmsg_leases_expired_total", "Messages whose worker or task was lost.", ["state"])
FAILOVERS = Counter(
    "sendmsg_failovers_total", "Messages released elsewhere after a failed try, by the new connection.", ["connection"]
)
BREAKER = Gauge(
    "sendmsg_breaker_state",
    "Breaker of a connection: 0 closed, 1 half open, 2 open.",
    ["connection"],
    multiprocess_mode="mostrecent",
)
BREAKER_CHANGES = Counter("sendmsg_breaker_changes_total", "Moves of breakers, by new state.", ["connection", "state"])
WEIGHT = Gauge(
    "sendmsg_connection_weight",
    "Weight that speed and failures leave to a connection.",
    ["connection"],
    multiprocess_mode="mostrecent",
)
DOUBTS_GIVEN_UP = Counter(
    "sendmsg_doubts_given_up_total", "Messages sent elsewhere though they may arrive twice.", ["connection"]
)
TOKEN_SECONDS = Counter(
    "sendmsg_pacing_wait_seconds_total", "Seconds that calls waited for their turn.", ["connection"]
)
RECEIPTS = Counter("sendmsg_receipts_total", "Receipts by what became of them.", ["connection", "result"])
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
PUMP_SECONDS = Histogram(
    "sendmsg_pump_step_seconds", "Time of one step of a pump.", ["pump"], buckets=(0.001, 0.01, 0.1, 1, 10)
)
PUMP_ITEMS = Counter("sendmsg_pump_items_total", "Items a pump handled.", ["pump"])
PUMP_FAILURES = Counter("sendmsg_pump_failures_total", "Steps of a pump that raised.", ["pump"])
