"""Tells people, by a webhook and by mail, of alerts that began and ended.

What could not be told is told at the next try, by the way that failed and no other. The webhook gets what Prometheus's
Alertmanager posts, and a `text` for chats that know no more than that:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from smtplib import SMTPException
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.mail import send_mail

from sendmsg.alerts.episodes import Episode
from sendmsg.errors import CallFailed
from sendmsg.http import HttpClient, build_session

logger = structlog.stdlib.get_logger(__name__)

CONNECT: Final = 5.0  # seconds
TOTAL: Final = 10.0  # seconds
ANSWER_BYTES: Final = 65_536
MOST: Final = 500  # notices that wait for one way; older ones are dropped, who reads them would learn nothing
NEVER: Final = "0001-01-01T00:00:00Z"  # how Alertmanager writes the end of what goes on


class Untold(Exception):
    """One way did not work; the text says why."""


class Way:
    """One way to tell, and what is still to be told by it."""

    def __init__(self, name: str, send: Callable[[Sequence[Episode]], None]) -> None:
        self.name = name
        self._send = send
        self._waiting: list[Episode] = []

    def tell(self, episodes: Sequence[Episode]) -> bool:
        """These, and what waits; whether nothing waits any more."""
        self._waiting = [*self._waiting, *episodes][-MOST:]
        if not self._waiting:
            return True
        try:
            self._send(self._waiting)
        except Untold as failed:
            logger.error("alerts not told", by=self.name, reason=failed, waiting=len(self._waiting))
            return False
        self._waiting = []
        return True


def ways() -> list[Way]:
    """Those that the settings name."""
    found = []
    if settings.ALERTS_WEBHOOK_URL:
        found.append(Way("webhook", post))
    if settings.ALERTS_MAIL_TO:
        found.append(Way("mail", mail))
    return found


@cache
def client() -> HttpClient:
    return build_session(
        connect_timeout=CONNECT, read_timeout=TOTAL, total_timeout=TOTAL, pool_size=1, max_response_bytes=ANSWER_BYTES
    )


def post(episodes: Sequence[Episode]) -> None:
    try:
        answer = client().request("POST", settings.ALERTS_WEBHOOK_URL, json=document(episodes))
    except CallFailed as failed:
        raise Untold(failed.code) from None
    if not 200 <= answer.status < 300:
        raise Untold(f"http_{answer.status}")


def mail(episodes: Sequence[Episode]) -> None:
    subject = f"SendMSG: {episodes[-1].line}" if len(episodes) == 1 else f"SendMSG: {len(episodes)} alerts"
    text = "\n\n".join(f"{one.line}\n{one.condition.runbook}" for one in episodes)
    try:
        send_mail(subject[:150], text, None, settings.ALERTS_MAIL_TO)
    except (SMTPException, OSError) as failed:
        raise Untold(type(failed).__name__) from None


def document(episodes: Sequence[Episode]) -> dict[str, Any]:
    going_on = any(one.until is None for one in episodes)
    return {
        "version": "4",
        "receiver": "sendmsg",
        "status": "firing" if going_on else "resolved",
        "text": "\n".join(one.line for one in episodes),
        "alerts": [
            {
                "status": "firing" if one.until is None else "resolved",
                "labels": {
                    "alertname": one.condition.name,
                    "severity": one.condition.severity,
                    **dict(one.labels),
                },
                "annotations": {"summary": one.condition.summary, "runbook": one.condition.runbook},
                "startsAt": _written(one.since),
                "endsAt": NEVER if one.until is None else _written(one.until),
            }
            for one in episodes
        ],
    }


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
