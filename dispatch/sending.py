"""One deliver task: claim a batch, call the provider, settle as answers come.

Calls run in a pool of threads per connection, shared by all tasks of the process, so a connection never has more than
its `concurrency` calls under way here. Messages of one text share a call where the provider takes many. Answers are
settled in small batches while the rest is still being sent: one slow call holds back nobody else's receipt. The lease
is renewed meanwhile, and a call that could outlive it is not made: a worker that was frozen wakes up, finds its lease
over, and leaves the message to whoever has it now.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Lock
from uuid import UUID

from django.db import InterfaceError, OperationalError, connections

from dispatch import attempts, breaker, calls, directory, pacing
from dispatch.attempts import Settlement
from dispatch.calls import Call, Lease, Line, Result
from dispatch.claims import Held
from dispatch.models import ProviderReference
from dispatch.providers.base import Accepted
from dispatch.verdicts import Claim, NotSent, Unanswered
from sendmsg.errors import ConfigurationError

logger = logging.getLogger(__name__)

GATHER = 0.02  # seconds to collect further answers before a settle; a statement for each would cost more than the wait
LOOK = 0.5  # seconds between looks at the lease, and for late answers, while nothing is answered
SETTLE_TRIES = 30  # times a settle is repeated while the database is away, at most `SETTLE_PAUSE` apart
SETTLE_PAUSE = 2.0  # seconds

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
    lease, name = Lease(), open_line.entry.name
    groups = calls.groups(held, open_line.provider.capabilities.batch_size)
    slots = pacing.book(name, calls.pace_of(open_line.entry), [calls.wish(group) for group in groups])
    under_way = {
        _submit(call): call
        for call in (Call(open_line, group, lease, slot) for group, slot in zip(groups, slots, strict=True))
    }
    while under_way:
        done, _ = wait(under_way, timeout=LOOK, return_when=FIRST_COMPLETED)
        if done and len(done) < len(under_way):
            done, _ = wait(under_way, timeout=GATHER)
        results = [_result(future, under_way.pop(future)) for future in done]
        observed = [result.observed for result in results if result.observed is not None]
        observed += [late for call in under_way.values() if (late := call.overdue()) is not None]
        if observed:
            breaker.record(name, observed)
        if results:
            _settle([settlement for result in results for settlement in result.settlements])
        if under_way and lease.ageing:
            _renew(lease, [item.claim for call in under_way.values() for item in call.group])


def _submit(call: Call) -> "Future[Result]":
    try:
        return call.line.pool.submit(call.make)
    except RuntimeError:  # the pool was shut down because the connection's row changed meanwhile
        failed: Future[Result] = Future()
        failed.set_result(calls.not_sent(call, NotSent()))
        return failed


def _result(future: "Future[Result]", call: Call) -> Result:
    error = future.exception()
    if error is not None:
        logger.error("adapter raised message=%s", call.group[0].claim.message_id, exc_info=error)
        return calls.unforeseen(call, error)
    result = future.result()
    if call.group[0].asks_since is None:
        return result
    return replace(result, settlements=[_doubted(one) for one in result.settlements])


def _doubted(settlement: Settlement) -> Settlement:
    """A message that the provider was asked for by its text alone may be another one, whose id is known already."""
    if not isinstance(settlement.ending, Accepted):
        return settlement
    claim = settlement.claim
    known = ProviderReference.objects.filter(
        connection_id=claim.connection_id, value__in=settlement.ending.provider_ids
    )
    taken = known.exclude(message_id=claim.message_id).exists()
    return replace(settlement, ending=Unanswered(detail="the one it has is another message")) if taken else settlement


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
