"""One deliver task: claim a batch, call the provider, settle as answers come.

Calls run in a pool of threads per connection, shared by all tasks of the process, so a connection never has more than
its `concurrency` calls under way here. Messages of one text share a call where the provider takes many. Answers are
settled in small batches while the rest is still being sent: one slow call holds back nobody else's receipt. The lease
is renewed meanwhile, and a call that could outlive it is not made: a worker that was frozen wakes up, finds its lease
over, and leaves the message to whoever has it now.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, Lock
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from dispatch import attempts, directory, pacing
from dispatch.attempts import Held, Settlement
from dispatch.directory import Entry
from dispatch.providers.base import Provider, Retry, Unknown
from dispatch.verdicts import Claim, NotSent, outcome_of
from sendmsg.errors import ConfigurationError
from sendmsg.telemetry import metrics

logger = logging.getLogger(__name__)

GATHER = 0.02  # seconds to collect further answers before a settle; a statement for each would cost more than the wait
LOOK = 1.0  # seconds between looks at the lease while nothing is answered
SETTLE_TRIES = 30  # times a settle is repeated while the database is away, at most `SETTLE_PAUSE` apart
SETTLE_PAUSE = 2.0  # seconds


class Lease:
    """Until when, by this process's steady clock, the task may start calls."""

    renew_at: float
    ends_at: float

    def __init__(self) -> None:
        self.renewed()

    def renewed(self) -> None:
        now = time.monotonic()
        length: float = settings.SEND_LEASE.total_seconds()
        self.renew_at = now + length / 3
        self.ends_at = now + length

    def may_start(self, messages: int) -> bool:
        """Whether a call for so many messages is over before the lease is: one may take `TOTAL_TIMEOUT`, more twice."""
        longest: float = settings.TOTAL_TIMEOUT * (1 if messages == 1 else 2)
        return time.monotonic() + longest < self.ends_at

    @property
    def ageing(self) -> bool:
        return time.monotonic() >= self.renew_at


@dataclass(frozen=True, slots=True)
class Line:
    """What a process keeps open towards one connection: the client with its sockets, and the threads that use it."""

    entry: Entry
    provider: Provider
    pool: ThreadPoolExecutor


stopping = Event()
"""Set when the worker shuts down: calls under way finish, those not begun are handed back."""
_lines: dict[str, Line] = {}
_lines_lock = Lock()


def line(name: str) -> Line | None:
    """The open line to a connection, made anew when its row changed; None when there is none, or it can't work."""
    entry = directory.entries().get(name)
    with _lines_lock:
        current = _lines.get(name)
        if entry is None or (current is not None and current.entry == entry):
            return current if entry is not None else None
        if entry.fault:
            return None
        try:
            provider = entry.build()
        except ConfigurationError as error:
            logger.error("connection can't work name=%s reason=%s", name, error.detail)
            return None
        made = Line(entry, provider, ThreadPoolExecutor(entry.concurrency, thread_name_prefix=name))
        _lines[name] = made
    if current is not None:
        current.pool.shutdown(wait=False)  # calls under way finish; tasks that still hold the old line submit no more
    return made


def deliver_batch(name: str, references: Sequence[tuple[UUID, int]]) -> int:
    """Send the messages that are still ours to send; how many were claimed."""
    open_line = line(name)
    if open_line is None:
        logger.warning("task for a connection that is not there name=%s", name)
        return 0  # the leases end, and routing chooses again
    held = attempts.claim(references, open_line.entry)
    if held:
        _send_all(open_line, held)
    return len(held)


def _send_all(open_line: Line, held: Sequence[Held]) -> None:
    lease = Lease()
    groups = _groups(held, open_line.provider.capabilities.batch_size)
    costs = [sum(item.segments for item in group) for group in groups]
    starts = pacing.book(open_line.entry.name, open_line.entry.rate, costs)
    calls = {_submit(open_line, group, lease, start): group for group, start in zip(groups, starts, strict=True)}
    while calls:
        done, _ = wait(calls, timeout=LOOK, return_when=FIRST_COMPLETED)
        if done and len(done) < len(calls):
            done, _ = wait(calls, timeout=GATHER)
        if done:
            _settle([settlement for call in done for settlement in _result(call, calls.pop(call))])
        if calls and lease.ageing:
            _renew(lease, [item.claim for group in calls.values() for item in group])


def _groups(held: Sequence[Held], batch_size: int) -> list[list[Held]]:
    """What goes into one call each: alone, or where the provider takes many, those of one text, sender and channel."""
    if batch_size == 1:
        return [[item] for item in held]
    alike: dict[tuple[str, str, str], list[Held]] = defaultdict(list)
    for item in held:
        alike[item.outbound.body, item.outbound.sender, item.outbound.channel].append(item)
    return [group[at : at + batch_size] for group in alike.values() for at in range(0, len(group), batch_size)]


def _submit(open_line: Line, group: list[Held], lease: Lease, start: float) -> "Future[list[Settlement]]":
    try:
        return open_line.pool.submit(_send, open_line, group, lease, start)
    except RuntimeError:  # the pool was shut down because the connection's row changed meanwhile
        failed: Future[list[Settlement]] = Future()
        failed.set_result(_not_sent(group))
        return failed


def _send(open_line: Line, group: list[Held], lease: Lease, start: float) -> list[Settlement]:
    name = open_line.entry.name
    time.sleep(max(0.0, start - time.monotonic()))
    if stopping.is_set() or not lease.may_start(len(group)) or pacing.is_paused(name):
        return _not_sent(group)
    now = timezone.now()
    overdue = [item for item in group if item.claim.expires_at <= now]
    group = [item for item in group if item.claim.expires_at > now]
    return _not_sent(overdue) + (_call(open_line, group, now) if group else [])


def _call(open_line: Line, group: list[Held], now: datetime) -> list[Settlement]:
    name = open_line.entry.name
    # One validity for all, or the provider's call could not be shared.
    valid_for = min((item.claim.expires_at - now).total_seconds() for item in group)
    started = time.perf_counter()
    endings = open_line.provider.send([replace(item.outbound, valid_for=valid_for) for item in group])
    metrics.SEND_SECONDS.labels(name).observe(time.perf_counter() - started)
    for ending in endings:
        metrics.OUTCOMES.labels(name, outcome_of(ending).value).inc()
        if isinstance(ending, Retry) and ending.code == "throttled" and ending.after:
            pacing.pause(name, ending.after)
    at = timezone.now()
    return [Settlement(item.claim, ending, at) for item, ending in zip(group, endings, strict=True)]


def _not_sent(group: Sequence[Held]) -> list[Settlement]:
    now = timezone.now()
    return [Settlement(item.claim, NotSent(), now) for item in group]


def _result(call: "Future[list[Settlement]]", group: Sequence[Held]) -> list[Settlement]:
    error = call.exception()
    if error is None:
        return call.result()
    # An adapter must not raise. If one does, nobody knows how far it came.
    logger.error("adapter raised message=%s", group[0].claim.message_id, exc_info=error)
    unknown = Unknown("adapter_error", type(error).__name__)
    return [Settlement(item.claim, unknown, timezone.now()) for item in group]


def _settle(settlements: Sequence[Settlement]) -> None:
    for turn in range(SETTLE_TRIES):
        try:
            attempts.settle(settlements)
            return
        except (OperationalError, InterfaceError) as error:
            if turn == SETTLE_TRIES - 1:
                raise
            logger.warning("settle waits for the database error=%s", type(error).__name__)
            connections["default"].close()
            time.sleep(min(0.1 * 2**turn, SETTLE_PAUSE))


def _renew(lease: Lease, claims: Sequence[Claim]) -> None:
    try:
        attempts.renew(claims)
    except (OperationalError, InterfaceError):
        connections["default"].close()  # the lease ends by itself; no call is started that could outlive it
    else:
        lease.renewed()
