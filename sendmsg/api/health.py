"""Probes: `/healthz` says that this process answers, `/readyz` which of the things we need do.

`/healthz` touches nothing. Accepting a message needs the default database alone, so only its failure makes us
not ready (503). Without the others we are degraded: what was accepted waits, and the answer says for what.
Nothing of an error is shown but its absence.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, JsonResponse
from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT = 2  # seconds; the least that libpq knows
DEADLINE = 4.0  # seconds for all checks together; under the usual timeout of a prober

logger = structlog.stdlib.get_logger(__name__)


def healthz(request: HttpRequest) -> JsonResponse:
    """Liveness."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Readiness: `{"status": "ok" | "degraded" | "failing", "checks": {"database": "ok" | "failing", …}}`."""
    checks = run(CHECKS)
    if checks["database"] != "ok":
        return JsonResponse({"status": "failing", "checks": checks}, status=503)
    degraded = any(state != "ok" for state in checks.values())
    return JsonResponse({"status": "degraded" if degraded else "ok", "checks": checks})


def run(checks: Mapping[str, Callable[[], None]]) -> dict[str, str]:
    """Run all checks at the same time; one that raises, or is not done by the deadline, is failing."""
    pool = ThreadPoolExecutor(max_workers=len(checks))
    futures = {name: pool.submit(check) for name, check in checks.items()}
    wait(futures.values(), timeout=DEADLINE)
    pool.shutdown(wait=False, cancel_futures=True)
    states = {}
    for name, future in futures.items():
        error = future.exception() if future.done() else TimeoutError()
        states[name] = "ok" if error is None else "failing"
        if error is not None:
            logger.warning("not ready", part=name, error=type(error).__name__)
    return states


def _check_database(alias: str) -> None:
    """Over a connection of its own, with short timeouts: a pooled one could be dead or wait for long."""
    database = connections.create_connection(alias)
    options = {**database.settings_dict["OPTIONS"], "connect_timeout": CONNECT_TIMEOUT}
    options["options"] = f"{options.get('options', '')} -c statement_timeout={CONNECT_TIMEOUT * 1000}".strip()
    database.settings_dict = {**database.settings_dict, "OPTIONS": options}
    try:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        database.close()


def _check_redis() -> None:
    timeouts = {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_timeout": CONNECT_TIMEOUT}
    with Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **timeouts) as redis:
        redis.ping()


def _check_broker() -> None:
    url: str = settings.CELERY_BROKER_URL
    options: dict[str, Any] = {}
    if url.startswith("redis"):
        options = {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_timeout": CONNECT_TIMEOUT}
    with Connection(url, connect_timeout=CONNECT_TIMEOUT, transport_options=options) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=CONNECT_TIMEOUT)


CHECKS: Mapping[str, Callable[[], None]] = {
    "database": lambda: _check_database("default"),
    "logs_database": lambda: _check_database("logs"),
    "redis": _check_redis,
    "broker": _check_broker,
}
