"""Asks after messages whose receipt did not come, and ends the waiting.

Promises: a message that is `sent` for longer than its connection's *receipt wait* is asked about, by the provider's id,
where the provider has a status API; then again, later and later; a final answer becomes a receipt row, which the
receipts pump matches like any other. One that is `sent` for longer than `RECEIPT_DEADLINE` is `unknown`, asked about or
not.

Several processes may run, and one that dies has its messages asked about at their next time. No transaction is open
during a call. Questions keep to the connection's rate, like messages. A connection that is paused, throttled, or whose
breaker is open is not asked; one whose calls fail is left alone for a while.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from dispatch import breaker, directory, pacing
from dispatch.directory import Entry
from dispatch.minutes import Keeper
from dispatch.pacing import Pace, Wish
from dispatch.providers import registry
from dispatch.providers.base import Provider, Report
from sendmsg.errors import CallFailed, ConfigurationError, MalformedAnswer, SendMSGError
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics
from webhooks.inbound import enquiries
from webhooks.inbound.enquiries import Question

logger = structlog.stdlib.get_logger(__name__)

THREADS = 8  # calls at a time
QUIET = 300.0  # seconds without asking a connection again whose calls failed
FAILURES = 3  # calls of a step that may fail before the rest of them is put off
PATIENCE = 5.0  # seconds that a question may wait for its turn in the connection's rate


class ReconcilePump(Pump):
    name = "reconcile"
    poll = 5.0

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="enquiry")
        self._since: dict[int, datetime] = {}  # connection → from when on its messages may not be waited for yet
        self._count_minutes = Keeper()  # here, because this process has the time
        self._quiet: dict[int, float] = {}  # connection → when to ask it again, steady clock

    def step(self) -> int:
        entries = sorted(directory.entries().values(), key=lambda entry: entry.id)
        now = timezone.now()
        self._count_minutes()
        ended = sum(enquiries.end_overdue(entry.id, now) for entry in entries)
        askable = [entry for entry in entries if self._may_ask(entry)]
        throttled = pacing.paused(entry.name for entry in askable)
        return ended + sum(self._ask(entry, now) for entry in askable if entry.name not in throttled)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _may_ask(self, entry: Entry) -> bool:
        if entry.fault or not entry.receipt_wait or entry.paused_at is not None:
            return False
        if not registry.get(entry.provider).capabilities.fetches_status:
            return False
        return time.monotonic() >= self._quiet.get(entry.id, 0.0) and not breaker.is_open(entry.name)

    def _ask(self, entry: Entry, now: datetime) -> int:
        """Ask about a batch of one connection's messages; how many of their ids."""
        since = self._since.get(entry.id, now - settings.RECEIPT_DEADLINE)
        self._since[entry.id] = enquiries.begin(entry.id, since, now - timedelta(seconds=entry.receipt_wait), now)
        questions = enquiries.claim(entry.id, now)
        if not questions:
            return 0
        reports: Mapping[str, Report] = {}
        try:
            provider = entry.build()
        except ConfigurationError as error:
            logger.error("connection can't be asked", connection=entry.name, reason=error.detail)
            failed = questions
        else:
            try:
                reports, failed = self._answers(entry, provider, questions)
            finally:
                provider.close()
        enquiries.report(entry.id, reports, now)
        if failed:
            self._quiet[entry.id] = time.monotonic() + QUIET
            enquiries.put_off(failed, now + timedelta(seconds=QUIET))
        return len(questions)

    def _answers(
        self, entry: Entry, provider: Provider, questions: Sequence[Question]
    ) -> tuple[Mapping[str, Report], list[Question]]:
        """What the provider says, by its ids, and what it could not be asked."""
        failed: list[Question] = []

        def fetch(question: Question) -> Report | None:
            if len(failed) >= FAILURES or self.stopping.is_set() or not _has_turn(entry):
                failed.append(question)
                return None
            try:
                return provider.fetch_status(question.reference)
            except (CallFailed, MalformedAnswer) as error:
                _log(entry, error)
                failed.append(question)
                return None

        answers = list(self._threads.map(fetch, questions))
        reports = {
            question.reference: answer
            for question, answer in zip(questions, answers, strict=True)
            if answer is not None
        }
        for answer in reports.values():
            metrics.ENQUIRIES.labels(entry.name, answer.status).inc()
        metrics.ENQUIRIES.labels(entry.name, "failed").inc(len(failed))
        metrics.ENQUIRIES.labels(entry.name, "unanswered").inc(len(questions) - len(reports) - len(failed))
        return reports, failed


def _has_turn(entry: Entry) -> bool:
    """Wait for a place in the connection's rate, where messages stand too; False if there is none soon."""
    [slot] = pacing.book(entry.name, Pace(rate=entry.rate), [Wish(cost=1)])
    wait = slot.start - time.monotonic()
    if slot.come_back is not None or wait > PATIENCE:
        return False
    time.sleep(max(0.0, wait))
    return True


def _log(entry: Entry, error: SendMSGError) -> None:
    logger.warning("provider not asked", connection=entry.name, reason=error.code)
