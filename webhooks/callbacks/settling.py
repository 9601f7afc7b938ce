"""Writes down how calls ended: the callback's next try or its end, and what that says of its endpoint.

An endpoint is paused after `due.TRUSTED` failures in a row, longer at each failed probe. It is disabled at once by a
410, and after `GIVE_UP` in which nothing but failures came; then its account's other endpoints are told. What belongs
to a lease that ended meanwhile changes nothing: somebody else sends it again.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from sendmsg.errors import ConfigurationError
from sendmsg.prepared import Prepared
from sendmsg.telemetry import metrics
from webhooks.callbacks import endpoints
from webhooks.callbacks.delivery import RETRY_LATER, Result
from webhooks.callbacks.due import TRUSTED
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.schedule import delay_after
from webhooks.callbacks.vocabulary import CallbackState, DisabledReason, EndpointKind, EndpointState

FIRST_PAUSE: Final = timedelta(seconds=2)  # doubled at each failed probe
LONGEST_PAUSE: Final = timedelta(minutes=5)  # an endpoint that comes back is noticed within this
GIVE_UP: Final = timedelta(days=5)  # of failures only: a long weekend and a working day

_ANSWER: Final = Callback._meta.get_field("response_body")

# Those that failed just now, or when they were called last.
SUSPECTS = Prepared("""
SELECT id FROM webhooks_endpoint WHERE id = ANY(%(called)s::uuid[]) AND (
    id = ANY(%(bad)s::uuid[]) OR failures > 0 OR failing_since IS NOT NULL OR paused_until IS NOT NULL
)
""")
SETTLE = Prepared("""
UPDATE webhooks_callback c SET
    state = r.state, attempts = c.attempts + 1, due_at = r.due_at, attempted_at = r.at,
    response_status = r.status, response_body = r.body, error_code = r.code, milliseconds = r.milliseconds
FROM unnest(
    %(id)s::uuid[], %(lease)s::timestamptz[], %(state)s::text[], %(due_at)s::timestamptz[], %(at)s::timestamptz[],
    %(status)s::int[], %(body)s::text[], %(code)s::text[], %(milliseconds)s::int[]
) AS r(id, lease, state, due_at, at, status, body, code, milliseconds)
WHERE c.id = r.id AND c.state = 'waiting' AND c.due_at = r.lease
""")


def settle(results: Sequence[Result]) -> None:
    """Write down these results, in one transaction."""
    if not results:
        return
    with transaction.atomic():
        _judge(results)
        verdicts = [_verdict(result) for result in results]
        _write(results, verdicts)
    for result, (state, _) in zip(results, verdicts, strict=True):
        metrics.CALLBACKS.labels("retried" if state is CallbackState.WAITING else state.value).inc()
        metrics.CALLBACK_SECONDS.observe(result.seconds)
        if result.task.attempts == 0:
            metrics.CALLBACK_LAG.observe(max(0.0, (result.at - result.task.happened_at).total_seconds()))


def _verdict(result: Result) -> tuple[CallbackState, datetime]:
    if result.delivered:
        return CallbackState.DELIVERED, result.at
    delay = None if result.gone else delay_after(result.task.attempts + 1, result.retry_after)
    if delay is None:
        return CallbackState.FAILED, result.at
    return CallbackState.WAITING, result.at + delay


def _write(results: Sequence[Result], verdicts: Sequence[tuple[CallbackState, datetime]]) -> None:
    parameters: dict[str, Any] = {
        "id": [str(result.task.id) for result in results],
        "lease": [result.task.lease for result in results],
        "state": [state.value for state, _ in verdicts],
        "due_at": [due_at for _, due_at in verdicts],
        "at": [result.at for result in results],
        "status": [result.status for result in results],
        "body": [_sealed(result.body) for result in results],
        "code": [result.code for result in results],
        "milliseconds": [round(result.seconds * 1000) for result in results],
    }
    with database.cursor() as cursor:
        SETTLE.run(cursor, parameters)


def _sealed(answer: str) -> str:
    """As it is stored. Without a key it is left out: what was told must be settled, or it is told again."""
    try:
        return _ANSWER.get_prep_value(answer) or ""
    except ConfigurationError:
        return ""


def _judge(results: Sequence[Result]) -> None:
    """Keep the record of each endpoint that failed, or had failed: a healthy one costs no write."""
    by_endpoint: dict[UUID, list[Result]] = defaultdict(list)
    for result in results:
        by_endpoint[result.task.endpoint_id].append(result)
    bad = [one for one, group in by_endpoint.items() if not all(result.delivered for result in group)]
    with database.cursor() as cursor:
        SUSPECTS.run(cursor, {"called": [str(one) for one in by_endpoint], "bad": [str(one) for one in bad]})
        suspects = [row[0] for row in cursor.fetchall()]
    if not suspects:
        return
    found = Endpoint.objects.filter(id__in=suspects).defer("secret", "old_secrets").order_by("id")
    rows = list(found.select_for_update(no_key=True))
    for endpoint in rows:
        _judge_one(endpoint, by_endpoint[endpoint.id])
        endpoint.save(update_fields=["failures", "failing_since", "paused_until"])
    for endpoint in rows:
        reason = _end_of(endpoint, by_endpoint[endpoint.id])
        if reason is not None:
            endpoints.disable(endpoint, reason)


def _judge_one(endpoint: Endpoint, group: Sequence[Result]) -> None:
    if any(result.delivered for result in group):
        endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
    for result in group:
        if result.delivered or (result.gone and endpoint.kind == EndpointKind.MESSAGES):
            continue
        endpoint.failing_since = endpoint.failing_since or result.at
        # Calls that were under way when it was found out to be dead say nothing new: only its probes do.
        if endpoint.failures < TRUSTED or result.task.probe:
            endpoint.failures += 1
            if endpoint.failures >= TRUSTED:
                endpoint.paused_until = result.at + _pause(endpoint.failures)
        if result.status in RETRY_LATER and result.retry_after:
            until = result.at + timedelta(seconds=result.retry_after)
            endpoint.paused_until = max(endpoint.paused_until or until, until)


def _pause(failures: int) -> timedelta:
    return min(FIRST_PAUSE * 2.0 ** min(failures - TRUSTED, 30), LONGEST_PAUSE)


def _end_of(endpoint: Endpoint, group: Sequence[Result]) -> DisabledReason | None:
    """Why it is not to be called any more; None if it is."""
    if endpoint.state != EndpointState.ENABLED:
        return None
    if endpoint.kind == EndpointKind.DECLARED and any(result.gone for result in group):
        return DisabledReason.GONE
    since = endpoint.failing_since
    if since is not None and max(result.at for result in group) - since >= GIVE_UP:
        return DisabledReason.FAILING
    return None
