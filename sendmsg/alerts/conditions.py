"""Every condition that somebody should be told of, its threshold, and for how long it must hold.

`docker/prometheus/alerts.yml` is made of these (`manage.py alerts --rules`), `manage.py alerts` looks at them without a
Prometheus, and docs/operations.md says under each name what to do. Tests hold all of them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sendmsg.alerts.expressions import Above, Absent, Below, Both, Now, Quantile, Ratio, Rise, Series, Test, Unless
from sendmsg.alerts.expressions import duration as written

MINUTE: Final = 60.0  # seconds
HOUR: Final = 3600.0
JOB: Final = "sendmsg"
"""What Prometheus's configuration calls all of our processes."""
ENOUGH: Final = 19.5  # of anything; a share of fewer than 20 says little. Between two numbers: a rise is an estimate
ANY: Final = 0.5  # of a rise; likewise
LATE: Final = 10.0  # seconds from accept to a provider: the objective
BUDGET: Final = 0.01  # share of messages that may take longer
RUNBOOK: Final = "docs/operations.md"


@dataclass(frozen=True, slots=True)
class Condition:
    """`lasts`: seconds that it must hold before it is told of. `page`: for a person to look now, and not tomorrow."""

    name: str
    test: Test
    lasts: float
    summary: str
    page: bool = False

    @property
    def severity(self) -> str:
        return "page" if self.page else "ticket"

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name.lower()}"


def _share(part: Series, whole: Series, seconds: float, above: float, least: float = ENOUGH) -> Test:
    """The share that a part has of a whole is too great, and the whole is enough to say so."""
    return Both(Above(Ratio(Rise(part, seconds), Rise(whole, seconds)), above), Above(Rise(whole, seconds), least))


def _burning(seconds: float, short: float, times: float) -> Test:
    """The budget of late messages is used up so many times too fast, for long, and it still is.

    Two windows as in the multi-window alerts of Google's SRE workbook: the long one says that it matters, the short one
    that it goes on.
    """
    of = {"mode": ("live",)}
    but = {"priority": ("bulk",)}  # a broadcast waits for its rate, as it should
    good = Series("sendmsg_handed_over_seconds_bucket", where={**of, "le": (f"{LATE:.1f}",)}, without=but)
    every = Series("sendmsg_handed_over_seconds_count", where=of, without=but)
    share = 1 - times * BUDGET

    def under(window: float) -> Test:
        return Below(Ratio(Rise(good, window), Rise(every, window)), share)

    return Both(Both(under(seconds), under(short)), Above(Rise(every, seconds), ENOUGH))


_ANSWERS: Final = Series("sendmsg_http_request_seconds_count")
_OUTCOMES: Final = Series("sendmsg_send_outcomes_total", ("connection",))

CONDITIONS: Final = (
    Condition(
        "SendMSGProcessDown",
        Below(Now(Series("up", ("instance",), {"job": (JOB,)})), 1),
        2 * MINUTE,
        "A process does not answer on its metrics port.",
        page=True,
    ),
    Condition(
        "SendMSGNotMeasured",
        Absent(Series("sendmsg_measured_at_seconds")),
        2 * MINUTE,
        "Nobody measures queues, ages and lags: the alerts on them are blind.",
        page=True,
    ),
    Condition(
        "SendMSGPartAway",
        Below(Now(Series("sendmsg_measured", ("part",))), 1),
        MINUTE,
        "A server that a part of the measurement needs does not answer.",
        page=True,
    ),
    Condition(
        "SendMSGPumpFailing",
        Above(Rise(Series("sendmsg_pump_failures_total", ("pump",)), 5 * MINUTE), 9.5),
        0,
        "The steps of a pump raise, again and again.",
        page=True,
    ),
    Condition(
        "SendMSGServerErrors",
        _share(
            Series("sendmsg_http_request_seconds_count", where={"status": ("500", "502", "503", "504")}),
            _ANSWERS,
            5 * MINUTE,
            0.01,
        ),
        2 * MINUTE,
        "More than 1 % of the requests are answered with 5xx.",
        page=True,
    ),
    Condition(
        "SendMSGSlowAccept",
        Both(
            Above(
                Quantile(
                    0.99,
                    Series("sendmsg_http_request_seconds", where={"route": ("v1/messages",), "method": ("POST",)}),
                    5 * MINUTE,
                ),
                0.5,
            ),
            Above(
                Rise(
                    Series(
                        "sendmsg_http_request_seconds_count", where={"route": ("v1/messages",), "method": ("POST",)}
                    ),
                    5 * MINUTE,
                ),
                ENOUGH,
            ),
        ),
        5 * MINUTE,
        "1 % of the messages take over half a second to be accepted.",
    ),
    Condition(
        "SendMSGQueueDelayed",
        Above(
            Now(Series("sendmsg_due_oldest_seconds", ("connection", "priority"), without={"priority": ("bulk",)})),
            MINUTE,
        ),
        MINUTE,
        "A message that is no broadcast's has been due for over a minute.",
        page=True,
    ),
    Condition(
        "SendMSGRelayLagging",
        Above(Now(Series("sendmsg_relay_lag_seconds")), 15),
        MINUTE,
        "Messages that a connection has room for are not released.",
        page=True,
    ),
    Condition(
        "SendMSGNoConsumer",
        Both(
            Above(Now(Series("sendmsg_queue_tasks", ("connection",))), 0),
            Below(Now(Series("sendmsg_queue_consumers", ("connection",))), 1),
        ),
        MINUTE,
        "Tasks wait on a connection's queue, and no worker listens to it.",
        page=True,
    ),
    Condition(
        "SendMSGWorkersLost",
        Above(Rise(Series("sendmsg_leases_expired_total", ("state",)), 10 * MINUTE), ANY),
        0,
        "Leases ended: a task or its worker was lost.",
    ),
    Condition(
        "SendMSGBreakerOpen",
        Above(Now(Series("sendmsg_breaker_state", ("connection",))), 0),
        5 * MINUTE,
        "A connection's breaker has not been closed for five minutes.",
        page=True,
    ),
    Condition(
        "SendMSGProviderFailing",
        _share(
            Series("sendmsg_send_outcomes_total", ("connection",), {"outcome": ("unavailable", "unknown", "retry")}),
            _OUTCOMES,
            5 * MINUTE,
            0.2,
        ),
        2 * MINUTE,
        "More than a fifth of the calls to a provider fail.",
    ),
    Condition(
        "SendMSGOutcomesUnknown",
        _share(
            Series("sendmsg_send_outcomes_total", ("connection",), {"outcome": ("unknown",)}),
            _OUTCOMES,
            30 * MINUTE,
            0.01,
        ),
        0,
        "Of more than 1 % of a connection's messages nobody knows whether they were sent.",
    ),
    Condition(
        "SendMSGReceiptsSilent",
        Unless(
            Above(
                Rise(Series("sendmsg_send_outcomes_total", ("connection",), {"outcome": ("accepted",)}), 30 * MINUTE),
                ENOUGH,
            ),
            Above(Rise(Series("sendmsg_receipts_total", ("connection",)), 30 * MINUTE), ANY),
        ),
        10 * MINUTE,
        "A connection takes messages and sends no receipts.",
    ),
    Condition(
        "SendMSGReceiptsRefused",
        Above(Rise(Series("sendmsg_receipts_refused_total", ("reason",)), 5 * MINUTE), 9.5),
        2 * MINUTE,
        "Webhooks are refused.",
        page=True,
    ),
    Condition(
        "SendMSGReceiptsElsewhere",
        Above(
            Rise(Series("sendmsg_receipts_stored_total", ("where",), {"where": ("broker", "spool")}), 5 * MINUTE), ANY
        ),
        0,
        "Webhooks are not kept where they should be: the buffer is away.",
    ),
    Condition(
        "SendMSGReceiptsDelayed",
        Above(Now(Series("sendmsg_receipts_oldest_seconds")), 30),
        2 * MINUTE,
        "Webhooks wait to be processed.",
        page=True,
    ),
    Condition(
        "SendMSGReceiptsOrphaned",
        _share(
            Series("sendmsg_receipts_total", ("connection",), {"result": ("orphaned",)}),
            Series("sendmsg_receipts_total", ("connection",)),
            30 * MINUTE,
            0.05,
        ),
        0,
        "Receipts of a connection belong to no message of ours.",
    ),
    Condition(
        "SendMSGUndelivered",
        _share(
            Series("sendmsg_receipt_statuses_total", ("connection",), {"status": ("undelivered",)}),
            Series("sendmsg_receipt_statuses_total", ("connection",)),
            30 * MINUTE,
            0.3,
        ),
        5 * MINUTE,
        "Of a connection's messages more than three in ten do not arrive.",
    ),
    Condition(
        "SendMSGCallbacksFailing",
        _share(
            Series("sendmsg_callbacks_total", where={"result": ("retried", "failed")}),
            Series("sendmsg_callbacks_total"),
            10 * MINUTE,
            0.5,
        ),
        2 * MINUTE,
        "More than half of the calls to clients' endpoints fail.",
    ),
    Condition(
        "SendMSGCallbacksDelayed",
        Above(Now(Series("sendmsg_callbacks_oldest_seconds")), MINUTE),
        2 * MINUTE,
        "Callbacks to endpoints that answer wait.",
        page=True,
    ),
    Condition(
        "SendMSGAnnouncementsDelayed",
        Above(Now(Series("sendmsg_announcements_oldest_seconds")), MINUTE),
        2 * MINUTE,
        "What clients should be told does not become callbacks.",
        page=True,
    ),
    Condition(
        "SendMSGEndpointDisabled",
        Above(
            Rise(
                Series("sendmsg_callback_endpoints_disabled_total", ("reason",), {"reason": ("gone", "failing")}),
                15 * MINUTE,
            ),
            ANY,
        ),
        0,
        "A client's endpoint is not called any more.",
    ),
    Condition(
        "SendMSGDeadLetters",
        _share(
            Series("sendmsg_dead_letters_total", where={"kind": ("message",)}),
            Series("sendmsg_messages_final_total"),
            15 * MINUTE,
            0.05,
        ),
        0,
        "More than 5 % of the messages end as dead letters.",
    ),
    Condition(
        "SendMSGDeadTasks",
        Above(Rise(Series("sendmsg_dead_letters_total", ("kind",), {"kind": ("task", "webhook")}), 15 * MINUTE), ANY),
        0,
        "A task or a webhook could not be processed: a mistake of ours.",
    ),
    Condition(
        "SendMSGDeadQueueFull",
        Above(Now(Series("sendmsg_dead_queue_tasks")), 0),
        5 * MINUTE,
        "Nobody stores the dead tasks of the broker.",
    ),
    Condition(
        "SendMSGUnknown",
        _share(
            Series("sendmsg_messages_final_total", where={"state": ("unknown",)}),
            Series("sendmsg_messages_final_total"),
            30 * MINUTE,
            0.01,
        ),
        0,
        "More than 1 % of the messages end as unknown.",
    ),
    Condition(
        "SendMSGLogsDelayed",
        Above(Now(Series("sendmsg_journal_oldest_seconds")), MINUTE),
        2 * MINUTE,
        "Events wait for the logs database.",
    ),
    Condition(
        "SendMSGArchiveLate",
        Above(Now(Series("sendmsg_archive_age_seconds")), 24 * HOUR),
        5 * MINUTE,
        "Old days and messages do not leave: the databases grow.",
    ),
    Condition(
        "SendMSGHandOverBurning",
        _burning(HOUR, 5 * MINUTE, 14.4),
        2 * MINUTE,
        "So many messages take over 10 s to a provider that a month's budget is gone in two days.",
        page=True,
    ),
    Condition(
        "SendMSGHandOverSlipping",
        _burning(6 * HOUR, 30 * MINUTE, 6),
        15 * MINUTE,
        "So many messages take over 10 s to a provider that a month's budget is gone in five days.",
    ),
)


def rules() -> dict[str, Any]:
    """All of them as a file of Prometheus's rules."""
    return {"groups": [{"name": "sendmsg", "rules": list(_rules())}]}


def _rules() -> Iterator[dict[str, Any]]:
    for one in CONDITIONS:
        yield {
            "alert": one.name,
            "expr": one.test.promql,
            **({"for": written(one.lasts)} if one.lasts else {}),
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "runbook": one.runbook},
        }
