"""The failover drill: 5,000 messages while their provider drops, comes back, falls silent, and comes back again.

    make drill-failover            every process on servers of its own; about three minutes
    make drill-failover ARGS="--messages 1000"

It prints a table of the five acts and what it checks, and ends with exit code 0 only if everything holds: none lost,
none sent twice, failover within five seconds, and the primary has its share back after each return. Figures are of the
machine that it runs on, with the load and the providers on the same cores.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.door import Door
from tests.servers.obtain import PrivateRabbitMQ, shipped_postgres
from tests.stack.processes import Process
from tests.stack.stack import Servers, Stack
from tests.waiting import eventually

SENDER = "Drill"
RATE = 60  # messages a second; a machine of two cores carries this with everything on it
CLIENTS = 4
FAILOVER_WITHIN = 5.0  # seconds until the breaker is open, and until messages leave by the backup
SHARE = 0.95  # of the last third of an act after a return goes by the primary again
PATIENCE = {"READ_TIMEOUT": "8", "TOTAL_TIMEOUT": "10", "SEND_LEASE": "30", "RETRY_BASE": "1", "RETRY_CAP": "5"}


@dataclass
class Act:
    """One act: what happens as it begins, and the messages posted during it, in order."""

    name: str
    began_at: datetime
    ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fate:
    """What became of a message: when it was posted and taken, by whom, and how many of its tries were in doubt."""

    posted_at: datetime
    taken_at: datetime
    connection: str
    doubts: int

    @property
    def seconds(self) -> float:
        return (self.taken_at - self.posted_at).total_seconds()


class Drill:
    def __init__(self, stack: Stack, door: Door, silent: Process, primary_url: str) -> None:
        self.stack, self.door, self.silent, self.primary_url = stack, door, silent, primary_url
        self.acts: list[Act] = []
        self.failures: list[str] = []

    def play(self, messages: int) -> None:
        share = messages // 5
        self.act("steady", share)
        self.door.shut()
        self.act("primary drops", share)
        self.door.open()
        self.act("comes back", share)
        self.silent.signal(signal.SIGSTOP)
        self.act("falls silent", share)
        self.silent.signal(signal.SIGCONT)
        self.act("comes back again", messages - 4 * share)

    def act(self, name: str, count: int) -> None:
        act = Act(name, datetime.now(UTC))
        self.acts.append(act)
        started = time.monotonic()

        def post(number: int) -> str:
            time.sleep(max(0.0, started + number / RATE - time.monotonic()))
            return self.stack.send(**{"from": SENDER})

        with ThreadPoolExecutor(CLIENTS) as clients:
            act.ids += clients.map(post, range(count))
        print(f"  {name}: {count} posted in {time.monotonic() - started:.0f} s", flush=True)

    def report(self) -> None:
        everything = [one for act in self.acts for one in act.ids]
        states = self.stack.settled(everything, seconds=240)
        fates = self.fates()
        print(f"\n{'act':<18}{'posted':>8}{'primary':>9}{'backup':>8}{'in doubt':>10}{'p50':>8}{'p95':>8}{'max':>8}")
        for act in self.acts:
            of = [fates[one] for one in act.ids if one in fates]
            by = Counter(fate.connection for fate in of)
            p50, p95, most = _percentiles([fate.seconds for fate in of])
            doubts = sum(fate.doubts > 0 for fate in of)
            print(
                f"{act.name:<18}{len(act.ids):>8}{by['primary']:>9}{by['sendmsg']:>8}{doubts:>10}"
                f"{p50:>7.2f}s{p95:>7.2f}s{most:>7.2f}s"
            )
        print("\nSeconds are from the 202 to the provider's acceptance. Checks:")
        self.check_none_lost(states, everything)
        self.check_none_twice(everything)
        for number in (1, 3):
            self.check_failover(self.acts[number], fates)
            self.check_return(self.acts[number + 1], fates)

    def check(self, what: str, holds: bool) -> None:
        print(f"  {'ok  ' if holds else 'FAIL'}  {what}")
        if not holds:
            self.failures.append(what)

    def check_none_lost(self, states: Counter[str], everything: Sequence[str]) -> None:
        self.check(
            f"{states['delivered']} of {len(everything)} delivered, {dict(states)}", set(states) == {"delivered"}
        )

    def check_none_twice(self, everything: Sequence[str]) -> None:
        first, second = self.stack.received(self.primary_url), self.stack.received()
        sends = [first.get(one, {}).get("sends", 0) + second.get(one, {}).get("sends", 0) for one in everything]
        replays = sum(
            first.get(one, {}).get("replays", 0) + second.get(one, {}).get("replays", 0) for one in everything
        )
        twice = sum(count > 1 for count in sends)
        never = sum(count < 1 for count in sends)
        self.check(
            f"{twice} sent twice, {never} never; {replays} repeats that a provider recognised", twice == never == 0
        )

    def check_failover(self, act: Act, fates: dict[str, Fate]) -> None:
        opened = self.changed(act, "opened")
        taken = [fates[one].taken_at for one in act.ids if one in fates and fates[one].connection == "sendmsg"]
        seconds = (min(taken) - act.began_at).total_seconds() if taken else float("inf")
        self.check(f"{act.name}: breaker open after {opened:.1f} s", opened <= FAILOVER_WITHIN)
        self.check(f"{act.name}: the backup takes messages after {seconds:.1f} s", seconds <= FAILOVER_WITHIN)

    def check_return(self, act: Act, fates: dict[str, Fate]) -> None:
        closed = self.changed(act, "closed")
        last = [fates[one].connection for one in act.ids[-len(act.ids) // 3 :] if one in fates]
        share = last.count("primary") / len(last)
        self.check(
            f"{act.name}: breaker closed after {closed:.1f} s, the primary has {share:.0%} of the last third",
            share >= SHARE,
        )

    def changed(self, act: Act, change: str) -> float:
        """Seconds from the beginning of the act until the primary's breaker did this for the first time."""
        rows = self.stack.sql(
            "SELECT min(e.at) FROM dispatch_connectionevent e JOIN dispatch_connection c ON c.id = e.connection_id"
            " WHERE c.name = 'primary' AND e.change = %s AND e.at >= %s",
            change,
            act.began_at,
        )
        return float((rows[0][0] - act.began_at).total_seconds()) if rows[0][0] else float("inf")

    def fates(self) -> dict[str, Fate]:
        rows = self.stack.sql(
            "SELECT m.id, m.created_at, min(a.finished_at) FILTER (WHERE a.outcome = 'accepted'), c.name,"
            " count(*) FILTER (WHERE a.outcome = 'unknown')"
            " FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id"
            " JOIN dispatch_attempt a ON a.message_id = m.id WHERE m.sender = %s GROUP BY m.id, c.name",
            SENDER,
        )
        return {str(row[0]): Fate(*row[1:]) for row in rows if row[2] is not None}


def _goes_first(stack: Stack) -> bool:
    """Whether a message is delivered by the primary: the processes know of it within seconds."""
    message_id = stack.send(**{"from": SENDER})
    stack.settled([message_id])
    rows = stack.sql(
        "SELECT c.name FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id WHERE m.id = %s",
        message_id,
    )
    return bool(rows == [("primary",)])


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49], cuts[94], max(seconds)


@contextmanager
def running_stack(**how: Any) -> Iterator[Stack]:
    """Every process on servers of its own; nothing is left behind."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sendmsg drill ")))
        postgres, rabbitmq = shipped_postgres(), PrivateRabbitMQ()
        cleanup.callback(postgres.remove)
        cleanup.callback(rabbitmq.remove)
        rabbitmq.start()
        postgres.start()
        valkey = cleanup.enter_context(EmbeddedValkey(folder / "valkey"))
        servers = Servers(
            postgres.database_url,
            postgres.logs_database_url,
            valkey.url(),
            "drill",
            rabbitmq.node.create_vhost("drill"),
        )
        stack = Stack(servers, folder, **{**PATIENCE, **how})
        cleanup.callback(stack.stop)
        stack.start()
        yield stack


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make drill-failover", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5000, help="How many in all (5000); at least 500.")
    asked = parser.parse_args(arguments)
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    with running_stack() as stack, stack.provider("primary") as (process, port), Door(port) as door:
        stack.connect("primary", door.url, sandbox=False)
        stack.route("drill", SENDER, "primary", "sendmsg")
        eventually(lambda: _goes_first(stack), "messages leave by the primary", 60)
        drill = Drill(stack, door, process, f"http://127.0.0.1:{port}")
        drill.play(max(asked.messages, 500))
        drill.report()
    print(f"\n{len(drill.failures)} failed" if drill.failures else "\nThe drill passed.")
    return 1 if drill.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
