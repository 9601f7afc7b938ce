"""The callbacks pump: tells clients' programs what happened.

Promises: every callback is sent until the endpoint answers 2xx or its tries are used up; what a killed process held is
sent again when its lease ends, so an endpoint may hear of a thing twice, with the same `webhook-id`. Order is not
promised. Calls are made in threads; the database belongs to the pump's own thread.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from sendmsg.pump import Pump
from webhooks.callbacks import due, housekeeping, outbox
from webhooks.callbacks.delivery import Result, Task, deliver
from webhooks.callbacks.settling import settle


class CallbacksPump(Pump):
    name = "callbacks"
    poll = 0.1  # seconds; also how long a stop may wait
    gather = 0.02  # seconds; about what a quick endpoint takes
    share = 0.5  # its threads wait meanwhile
    full = outbox.BATCH

    def __init__(self) -> None:
        super().__init__()
        self._threads = settings.CALLBACKS_THREADS
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="callback")
        self._ended: SimpleQueue[Result] = SimpleQueue()
        self._results: list[Result] = []
        self._flying: Counter[UUID] = Counter()
        self._housekeeping = housekeeping.Clock()
        self._busy = False

    @property
    def flying(self) -> int:
        """Calls under way."""
        return self._flying.total()

    def step(self) -> int:
        done = self._settle()
        if done or self._busy or due.anything(timezone.now()):
            done += outbox.spread() + self._begin()
        done += self._housekeeping.tick()
        self._busy = done > 0
        return done

    def wait(self, seconds: float) -> None:
        """Until a call ends, `seconds` at the most."""
        try:
            self._take(self._ended.get(timeout=seconds))
        except Empty:
            return

    def close(self) -> None:
        """Let the calls under way end, which takes seconds, and write down how."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._settle()

    def _begin(self) -> int:
        """Call whom there is something to tell; how many calls."""
        tasks = due.claim(+self._flying, self._threads, timezone.now())
        for task in tasks:
            self._pool.submit(self._call, task)
            self._flying[task.endpoint_id] += 1
        return len(tasks)

    def _call(self, task: Task) -> None:
        self._ended.put(deliver(task))

    def _settle(self) -> int:
        while not self._ended.empty():
            self._take(self._ended.get())
        settle(self._results)  # kept if it raises: the next step tries again
        settled, self._results = len(self._results), []
        return settled

    def _take(self, result: Result) -> None:
        self._flying[result.task.endpoint_id] -= 1
        self._results.append(result)
