"""What a worker process keeps open towards one connection: the client with its sockets, and threads of its own.

`concurrency` threads make the calls, one more settles: answers are recorded in small batches, whichever tasks they
belong to, while others are still under way. Nothing here is shared between connections, so that one whose provider
takes half a minute for an answer holds up no other. Leases are renewed meanwhile, and a call that could outlive its
lease is not made: a worker that was frozen wakes up, finds its lease over, and leaves the message to whoever has it.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connections

from dispatch import attempts, breaker, calls, pacing
from dispatch.attempts import Settlement
from dispatch.calls import Call, Habit, Lease, Result
from dispatch.claims import Held
from dispatch.directory import Entry
from dispatch.models import ProviderReference
from dispatch.providers.base import Accepted, Provider
from dispatch.verdicts import NotSent, Unanswered
from dispatch.vocabulary import UnknownPolicy

logger = structlog.stdlib.get_logger(__name__)

GATHER: Final = 0.02  # seconds to collect further answers before a settle; a statement for each would cost more
LOOK: Final = 0.5  # seconds between looks at the leases, and for late answers, while nothing is answered
SETTLE_TRIES: Final = 30  # times a settle is repeated while the database is away, at most `SETTLE_PAUSE` apart
SETTLE_PAUSE: Final = 2.0  # seconds

Answered = tuple[Call, "Future[Result]"]


class Line:
    """One connection as its row was when the line was opened. `close` lets go of it once everything is settled."""

    def __init__(self, entry: Entry, provider: Provider) -> None:
        self.entry = entry
        self.provider = provider
        self._pool = ThreadPoolExecutor(entry.concurrency, thread_name_prefix=entry.name)
        self._habit = Habit()
        self._events: SimpleQueue[Sequence[Call] | Answered | None] = SimpleQueue()
        self._under_way: set[Call] = set()
        self._unsettled = 0
        self._settled = threading.Condition()
        self._closing = False
        self._settler = threading.Thread(target=self._run, name=f"settle-{entry.name}", daemon=True)
        self._settler.start()

    def take(self, held: Sequence[Held]) -> None:
        """Send these messages as soon as their turns come; returns before that. A closed line hands them back."""
        lease = Lease()
        groups = calls.groups(held, self.provider.capabilities.batch_size)
        slots = pacing.book(self.entry.name, calls.pace_of(self.entry), [calls.wish(group) for group in groups])
        made = [
            Call(self.entry, self.provider, self._habit, group, lease, slot)
            for group, slot in zip(groups, slots, strict=True)
        ]
        with self._settled:
            closed = self._closing
            self._unsettled += 0 if closed else len(held)
        if closed:
            attempts.settle([one for call in made for one in calls.not_sent(call, NotSent()).settlements])
            return
        self._events.put(made)
        for call in made:
            self._submit(call)

    def wait_settled(self, seconds: float) -> bool:
        """Until nothing is under way, `seconds` at the most; whether that came."""
        with self._settled:
            return self._settled.wait_for(lambda: self._unsettled == 0, seconds)

    def close(self) -> None:
        """Take nothing more; calls under way finish and are settled."""
        with self._settled:
            self._closing = True
        self._pool.shutdown(wait=False)
        self._events.put(None)

    def wait_closed(self, seconds: float) -> None:
        """After `close`: until the last answer is settled and the database is let go of, `seconds` at the most."""
        self._settler.join(seconds)

    def _submit(self, call: Call) -> None:
        try:
            future = self._pool.submit(call.make)
        except RuntimeError:  # closed, because the connection's row changed meanwhile
            future = Future()
            future.set_result(calls.not_sent(call, NotSent()))
        future.add_done_callback(lambda done: self._events.put((call, done)))

    def _run(self) -> None:
        try:
            while not self._over():
                try:
                    self._turn()
                except Exception:  # whatever it is, the answers that follow must be settled
                    logger.exception("line stumbled", connection=self.entry.name)
        finally:
            self.provider.close()
            connections.close_all()

    def _over(self) -> bool:
        with self._settled:
            return self._closing and not self._unsettled

    def _turn(self) -> None:
        answered = self._gather()
        self._under_way.difference_update(call for call, _ in answered)
        try:
            results = [self._result(future, call) for call, future in answered]
            if results:
                self._settle([settlement for result in results for settlement in result.settlements])
            self._renew()
            observed = [result.observed for result in results if result.observed is not None]
            observed += [late for call in self._under_way if (late := call.overdue()) is not None]
            if observed:
                breaker.record(self.entry.name, observed)
        finally:
            with self._settled:
                self._unsettled -= sum(len(call.group) for call, _ in answered)
                self._settled.notify_all()

    def _gather(self) -> list[Answered]:
        """What was answered since the last turn. Waits for a first answer, and a moment for others that may come."""
        answered: list[Answered] = []
        until = time.monotonic() + LOOK
        while True:
            waits = max(0.0, until - time.monotonic()) if self._under_way or answered else None
            try:
                event = self._events.get(timeout=waits)
            except Empty:
                return answered
            if event is None:
                return answered
            if isinstance(event, tuple):
                if not answered:
                    until = time.monotonic() + GATHER
                answered.append(event)
                if len(answered) >= len(self._under_way):
                    return answered
            else:
                self._under_way.update(event)
                until = min(until, time.monotonic() + LOOK) if answered else time.monotonic() + LOOK

    def _result(self, future: "Future[Result]", call: Call) -> Result:
        error = future.exception()
        if error is not None:
            first = call.group[0]
            about = {"message_id": first.claim.message_id, "request_id": first.request_id}
            logger.error("adapter raised", connection=self.entry.name, **about, exc_info=error)
            return calls.unforeseen(call, error)
        return future.result()

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        for turn in range(SETTLE_TRIES):
            try:
                close_old_connections()
                attempts.settle([_doubted(one) for one in settlements])
                return
            except (OperationalError, InterfaceError) as error:
                logger.warning("settle waits for the database", error=type(error).__name__)
                connections["default"].close()
                time.sleep(min(0.1 * 2**turn, SETTLE_PAUSE))
            except Exception:  # the leases end, and what was sent is in doubt; the next answers must be settled
                logger.exception("settle failed", connection=self.entry.name, messages=len(settlements))
                return
        logger.error("settle given up", connection=self.entry.name, messages=len(settlements))

    def _renew(self) -> None:
        ageing = {id(call.lease): call.lease for call in self._under_way if call.lease.ageing}
        if not ageing:
            return
        claims = [item.claim for call in self._under_way if id(call.lease) in ageing for item in call.group]
        try:
            attempts.renew(claims)
        except (OperationalError, InterfaceError):
            connections["default"].close()  # the leases end by themselves; no call is started that could outlive one
        else:
            for lease in ageing.values():
                lease.renewed()


def _doubted(settlement: Settlement) -> Settlement:
    """A message that the provider was asked for by its text alone may be another one, whose id is known already."""
    ending, claim = settlement.ending, settlement.claim
    asked = claim.in_doubt and claim.doubt.policy is UnknownPolicy.ASK  # a repeat is another matter: it names our id
    if not asked or not isinstance(ending, Accepted):
        return settlement
    known = ProviderReference.objects.filter(connection_id=claim.connection_id, value__in=ending.provider_ids)
    taken = known.exclude(message_id=claim.message_id).exists()
    return replace(settlement, ending=Unanswered(detail="the one it has is another message")) if taken else settlement
