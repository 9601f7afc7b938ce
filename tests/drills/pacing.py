"""The pacing drill: a limit over five workers, a provider that hangs beside others, a crowd and what is urgent.

    make drill-pacing              every process on servers of its own; about four minutes

It prints what it measured and ends with exit code 0 only if: of 1,000 messages at ten a second no second has more than
eleven and 95 % of the limit is used; with a provider that answers after thirty seconds, the 95th percentile of
another's messages is at most half as much again; and with 100,000 messages of a crowd queued, urgent messages of
another account are with the provider within a second more than without.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

from tests.drills.failover import running_stack
from tests.stack.stack import Stack
from tests.waiting import eventually

WORKERS = ("third", "fourth", "fifth")  # beside the two of every stack
RATE, PACED = 10, 1000
USED = 0.95
SLOWED = 1.5
URGENT_WITHIN = 1.0  # seconds
CROWD = 100_000
PROBES = 200  # messages in each measurement of delays


class Drill:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.failures = 0

    def check(self, what: str, holds: bool) -> None:
        print(f"  {'ok  ' if holds else 'FAIL'}  {what}", flush=True)
        self.failures += not holds

    def limit(self) -> None:
        with self.stack.provider("paced") as (_, port):
            url = f"http://127.0.0.1:{port}"
            self.stack.connect("paced", url, sandbox=False, rate=RATE)
            self.stack.route("paced", "Paced", "paced")
            self.known("Paced", url)
            before = set(self.stack.received(url))
            ids = self.post("Paced", PACED)
            self.stack.settled(ids, seconds=PACED / RATE * 2)
            times = sorted(one["sent_at"] for key, one in self.stack.received(url).items() if key not in before)
        fullest = max(
            sum(start <= other < start + 1 for other in times[at : at + 50]) for at, start in enumerate(times)
        )
        used = (len(times) - 1) / (times[-1] - times[0]) / RATE
        failures = self.stack.sql("SELECT sum(failures) FROM dispatch_message WHERE id = ANY(%s::uuid[])", ids)[0][0]
        self.check(
            f"{len(times)} messages at {RATE}/s over 5 workers: {fullest} in the fullest second", fullest <= RATE + 1
        )
        self.check(f"{used:.1%} of the limit used, {failures} failed tries", used >= USED and failures == 0)

    def hanging(self) -> None:
        alone = self.delays(self.post("", PROBES))
        with self.stack.provider("slow", "--slow-seconds", "30") as (_, port):
            url = f"http://127.0.0.1:{port}"
            self.stack.connect("slow", url, sandbox=False)
            self.stack.route("slow", "Slow", "slow")
            self.known("Slow", url)
            with ThreadPoolExecutor(4) as clients:
                send: Callable[[int], str] = lambda _: self.stack.send("+447700900909", **{"from": "Slow"})  # noqa: E731
                hanging = list(clients.map(send, range(150)))
            eventually(lambda: self.stack.states(hanging)["sending"] >= 32, "they hang", 30)
            beside = self.delays(self.post("", PROBES))
        first, second = _p95(alone), _p95(beside)
        self.check(
            f"p95 from acceptance to provider: {first:.2f} s alone, {second:.2f} s beside a provider that hangs"
            f" ({second / first:.2f} times)",
            second <= first * SLOWED,
        )

    def crowd(self) -> None:
        alone = median(self.delays(self.post("", 20, priority="high")))
        self.stack.run("from sendmsg.accounts.models import Account\nAccount.objects.get_or_create(name='Crowd')")
        self.stack.queue("Crowd", CROWD)
        time.sleep(3)  # for the crowd to fill what there is to fill
        delays = self.delays(self.post("", 40, priority="high"))
        [(left,)] = self.stack.sql("SELECT count(*) FROM dispatch_message WHERE body = 'to all' AND state = 'queued'")
        worst = max(delays)
        self.check(
            f"urgent messages amid {CROWD:,}: median {median(delays):.2f} s, worst {worst:.2f} s ({alone:.2f} s alone;"
            f" {left:,} of the crowd still queued)",
            worst <= alone + URGENT_WITHIN and left > 0,
        )

    def post(self, sender: str, count: int, **fields: str) -> list[str]:
        about = {"from": sender} if sender else {}
        return [self.stack.send(**about, **fields) for _ in range(count)]

    def delays(self, ids: Sequence[str]) -> list[float]:
        """Seconds from the acceptance of each to the provider's answer."""
        self.stack.settled(ids)
        rows = self.stack.sql(
            "SELECT extract(epoch FROM min(a.finished_at) - m.created_at) FROM dispatch_message m"
            " JOIN dispatch_attempt a ON a.message_id = m.id AND a.outcome = 'accepted'"
            " WHERE m.id = ANY(%s::uuid[]) GROUP BY m.id",
            list(ids),
        )
        return [float(seconds) for (seconds,) in rows]

    def known(self, sender: str, url: str) -> None:
        """Wait until what this sender sends arrives there: each process notices a new route within seconds."""

        def arrive() -> bool:
            ids = self.post(sender, 10)
            self.stack.settled(ids)
            return set(ids) <= set(self.stack.received(url))

        eventually(arrive, f"messages of {sender} go their way", 60, every=1)


def _p95(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=20)[-1]


def main() -> int:
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    with running_stack(READ_TIMEOUT="40", TOTAL_TIMEOUT="45", SEND_LEASE="150") as stack:
        drill = Drill(stack)
        with stack.worker(WORKERS[0]), stack.worker(WORKERS[1]), stack.worker(WORKERS[2]):
            drill.limit()
        drill.hanging()
        drill.crowd()
    print(f"\n{drill.failures} failed" if drill.failures else "\nThe drill passed.")
    return 1 if drill.failures else 0


if __name__ == "__main__":
    sys.exit(main())
