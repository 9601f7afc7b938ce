"""How each alert comes and goes: what the metrics say while all is well, and while it is not.

One table for two: `promtool test rules` plays it to Prometheus's rules, and the tests of `manage.py alerts` to our own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

CALM_FOR = 10  # minutes before the trouble


@dataclass(frozen=True)
class Line:
    """One series: a value a minute, or for a counter how much it rises in one. None: it is not there."""

    series: str
    well: float | None
    trouble: float | None
    counts: bool = False

    def values(self, trouble: int, after: int) -> list[float | None]:
        phases = [self.well] * CALM_FOR + [self.trouble] * trouble + [self.well] * after
        if not self.counts:
            return phases
        return list(accumulate(value or 0.0 for value in phases))


@dataclass(frozen=True)
class Scenario:
    """`lasts`, `after`: minutes of trouble, and of calm until the alert must be over."""

    alert: str
    lines: tuple[Line, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    lasts: int = 15
    after: int = 40

    @property
    def fires_at(self) -> int:
        return CALM_FOR + self.lasts - 1

    @property
    def clear_at(self) -> tuple[int, int]:
        """The last minute before the trouble, and the last of all."""
        return CALM_FOR - 1, CALM_FOR + self.lasts + self.after - 1

    def minutes(self) -> Iterator[dict[str, float]]:
        """What is there at each minute, by series."""
        columns = {line.series: line.values(self.lasts, self.after) for line in self.lines}
        for minute in range(CALM_FOR + self.lasts + self.after):
            yield {name: value for name, values in columns.items() if (value := values[minute]) is not None}


def state(series: str, well: float | None, trouble: float | None) -> Line:
    return Line(series, well, trouble)


def counter(series: str, well: float, trouble: float) -> Line:
    return Line(series, well, trouble, counts=True)


HTTP = "sendmsg_http_request_seconds"
POST = 'route="v1/messages",method="POST",status="202"'
OUTCOME = 'sendmsg_send_outcomes_total{{connection="main",outcome="{}"}}'
HANDED = "sendmsg_handed_over_seconds"
LIVE = 'priority="normal",mode="live"'
MAIN = {"connection": "main"}


def handed_over(late: float) -> tuple[Line, ...]:
    """100 messages a minute, of which so many are late while there is trouble; and a broadcast that is slow as ever."""
    return (
        counter(f'{HANDED}_bucket{{{LIVE},le="10.0"}}', 100, 100 - late),
        counter(f"{HANDED}_count{{{LIVE}}}", 100, 100),
        counter(f'{HANDED}_bucket{{priority="bulk",mode="live",le="10.0"}}', 0, 0),
        counter(f'{HANDED}_count{{priority="bulk",mode="live"}}', 1000, 1000),
    )


SCENARIOS = (
    Scenario(
        "SendMSGProcessDown",
        (state('up{job="sendmsg",instance="a"}', 1, 0), state('up{job="sendmsg",instance="b"}', 1, 1)),
        {"instance": "a"},
    ),
    Scenario("SendMSGNotMeasured", (state("sendmsg_measured_at_seconds", 1, None),)),
    Scenario("SendMSGPartAway", (state('sendmsg_measured{part="queues"}', 1, 0),), {"part": "queues"}),
    Scenario("SendMSGPumpFailing", (counter('sendmsg_pump_failures_total{pump="relay"}', 0, 10),), {"pump": "relay"}),
    Scenario(
        "SendMSGServerErrors",
        (counter(f"{HTTP}_count{{{POST}}}", 100, 100), counter(f'{HTTP}_count{{route="other",status="503"}}', 0, 3)),
    ),
    Scenario(
        "SendMSGSlowAccept",
        (
            counter(f'{HTTP}_bucket{{{POST},le="0.1"}}', 100, 50),
            counter(f'{HTTP}_bucket{{{POST},le="1.0"}}', 100, 100),
            counter(f'{HTTP}_bucket{{{POST},le="+Inf"}}', 100, 100),
            counter(f"{HTTP}_count{{{POST}}}", 100, 100),
        ),
    ),
    Scenario(
        "SendMSGQueueDelayed",
        (
            state('sendmsg_due_oldest_seconds{connection="main",priority="normal"}', 1, 90),
            state('sendmsg_due_oldest_seconds{connection="main",priority="bulk"}', 900, 900),
        ),
        {**MAIN, "priority": "normal"},
    ),
    Scenario("SendMSGRelayLagging", (state("sendmsg_relay_lag_seconds", 0, 20),)),
    Scenario(
        "SendMSGNoConsumer",
        (
            state('sendmsg_queue_tasks{connection="main"}', 2, 2),
            state('sendmsg_queue_consumers{connection="main"}', 1, 0),
            state('sendmsg_queue_tasks{connection="idle"}', 0, 0),
            state('sendmsg_queue_consumers{connection="idle"}', 0, 0),
        ),
        MAIN,
    ),
    Scenario(
        "SendMSGWorkersLost", (counter('sendmsg_leases_expired_total{state="sending"}', 0, 1),), {"state": "sending"}
    ),
    Scenario("SendMSGBreakerOpen", (state('sendmsg_breaker_state{connection="main"}', 0, 2),), MAIN),
    Scenario(
        "SendMSGProviderFailing",
        (
            counter(OUTCOME.format("accepted"), 10, 5),
            counter(OUTCOME.format("unavailable"), 0, 3),
            counter(OUTCOME.format("retry"), 0, 2),
        ),
        MAIN,
    ),
    Scenario(
        "SendMSGOutcomesUnknown",
        (counter(OUTCOME.format("accepted"), 50, 49), counter(OUTCOME.format("unknown"), 0, 1)),
        MAIN,
    ),
    Scenario(
        "SendMSGReceiptsSilent",
        (
            counter(OUTCOME.format("accepted"), 10, 10),
            counter('sendmsg_receipts_total{connection="main",result="applied"}', 10, 0),
        ),
        MAIN,
        lasts=50,
    ),
    Scenario(
        "SendMSGReceiptsRefused",
        (counter('sendmsg_receipts_refused_total{reason="signature_mismatch"}', 0, 5),),
        {"reason": "signature_mismatch"},
    ),
    Scenario(
        "SendMSGReceiptsElsewhere",
        (
            counter('sendmsg_receipts_stored_total{where="redis"}', 10, 0),
            counter('sendmsg_receipts_stored_total{where="broker"}', 0, 10),
        ),
        {"where": "broker"},
    ),
    Scenario("SendMSGReceiptsDelayed", (state("sendmsg_receipts_oldest_seconds", 0, 40),)),
    Scenario(
        "SendMSGReceiptsOrphaned",
        (
            counter('sendmsg_receipts_total{connection="main",result="applied"}', 10, 10),
            counter('sendmsg_receipts_total{connection="main",result="orphaned"}', 0, 2),
        ),
        MAIN,
    ),
    Scenario(
        "SendMSGUndelivered",
        (
            counter('sendmsg_receipt_statuses_total{connection="main",status="delivered"}', 10, 5),
            counter('sendmsg_receipt_statuses_total{connection="main",status="undelivered"}', 1, 6),
        ),
        MAIN,
        lasts=30,
    ),
    Scenario(
        "SendMSGCallbacksFailing",
        (
            counter('sendmsg_callbacks_total{result="delivered"}', 10, 3),
            counter('sendmsg_callbacks_total{result="retried"}', 1, 7),
        ),
    ),
    Scenario("SendMSGCallbacksDelayed", (state("sendmsg_callbacks_oldest_seconds", 1, 70),)),
    Scenario("SendMSGAnnouncementsDelayed", (state("sendmsg_announcements_oldest_seconds", 1, 70),)),
    Scenario(
        "SendMSGEndpointDisabled",
        (
            counter('sendmsg_callback_endpoints_disabled_total{reason="gone"}', 0, 1),
            counter('sendmsg_callback_endpoints_disabled_total{reason="client"}', 1, 1),
        ),
        {"reason": "gone"},
    ),
    Scenario(
        "SendMSGDeadLetters",
        (
            counter('sendmsg_dead_letters_total{kind="message"}', 0, 2),
            counter('sendmsg_messages_final_total{state="delivered"}', 20, 18),
            counter('sendmsg_messages_final_total{state="failed"}', 0, 2),
        ),
    ),
    Scenario("SendMSGDeadTasks", (counter('sendmsg_dead_letters_total{kind="task"}', 0, 1),), {"kind": "task"}),
    Scenario("SendMSGDeadQueueFull", (state("sendmsg_dead_queue_tasks", 0, 3),)),
    Scenario(
        "SendMSGUnknown",
        (
            counter('sendmsg_messages_final_total{state="delivered"}', 20, 20),
            counter('sendmsg_messages_final_total{state="unknown"}', 0, 1),
        ),
    ),
    Scenario("SendMSGLogsDelayed", (state("sendmsg_journal_oldest_seconds", 0, 70),)),
    Scenario("SendMSGArchiveLate", (state("sendmsg_archive_age_seconds", 0, 90_000),)),
    Scenario("SendMSGHandOverBurning", handed_over(late=30)),
    Scenario("SendMSGHandOverSlipping", handed_over(late=10), lasts=60),
)

QUIET = (
    Scenario(
        "SendMSGServerErrors",
        (counter(f"{HTTP}_count{{{POST}}}", 1, 0), counter(f'{HTTP}_count{{route="other",status="503"}}', 0, 1)),
    ),
    Scenario(
        "SendMSGOutcomesUnknown",
        (counter(OUTCOME.format("accepted"), 0.1, 0), counter(OUTCOME.format("unknown"), 0, 0.1)),
    ),
    Scenario("SendMSGHandOverBurning", handed_over(late=0)),
    Scenario("SendMSGBreakerOpen", (state('sendmsg_breaker_state{connection="main"}', 0, 2),), lasts=3),
)
"""Too little to tell anybody of."""
