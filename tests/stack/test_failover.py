"""Providers that drop, hang and come back, with every process running: nothing lost, nothing twice, nobody held up."""

import signal
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.door import Door
from tests.stack.stack import Stack
from tests.waiting import eventually

SENDER = "Failover"


@pytest.fixture
def primary(stack: Stack) -> Iterator[tuple[Door, str]]:
    """A door before a second sandbox, which goes first for what `SENDER` sends; and that sandbox's own address."""
    with stack.provider("sandbox-2") as (_, port), Door(port) as door:
        stack.connect("primary", door.url, sandbox=False)
        stack.route("failover", SENDER, "primary", "sendmsg")
        eventually(lambda: by(stack, [stack.send(**{"from": SENDER})]) == {"primary": 1}, "the route is known", 60)
        yield door, f"http://127.0.0.1:{port}"
        door.shut()
        stack.run("from dispatch.models import Route\nRoute.objects.filter(name='failover').update(enabled=False)")
        stack.run(
            "from dispatch.models import Connection\nConnection.objects.filter(name='primary').update(enabled=False)"
        )


def by(stack: Stack, ids: Sequence[str]) -> Counter[str]:
    """The connections that these messages left by, once each is final."""
    stack.settled(ids)
    rows = stack.sql(
        "SELECT c.name FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id"
        " WHERE m.id = ANY(%s::uuid[])",
        list(ids),
    )
    return Counter(str(name) for (name,) in rows)


def send_many(stack: Stack, count: int) -> list[str]:
    return [stack.send(**{"from": SENDER}) for _ in range(count)]


def breaker_of(stack: Stack, name: str) -> str:
    rows = stack.sql(
        "SELECT change FROM dispatch_connectionevent e JOIN dispatch_connection c ON c.id = e.connection_id"
        " WHERE c.name = %s ORDER BY e.id DESC LIMIT 1",
        name,
    )
    return str(rows[0][0]) if rows else "closed"


def sent_once(stack: Stack, primary_url: str, ids: Sequence[str]) -> None:
    first, second = stack.received(primary_url), stack.received()
    sends = {one: first.get(one, {}).get("sends", 0) + second.get(one, {}).get("sends", 0) for one in ids}
    assert set(sends.values()) == {1}, {one: count for one, count in sends.items() if count != 1}


def test_a_provider_that_drops_in_the_middle_is_left_and_gets_its_share_back(
    stack: Stack, primary: tuple[Door, str]
) -> None:
    door, url = primary
    ids = send_many(stack, 60)
    door.shut()
    ids += send_many(stack, 120)
    eventually(lambda: breaker_of(stack, "primary") in ("opened", "probing"), "the breaker opens", 20)
    away = send_many(stack, 20)
    assert by(stack, away) == {"sendmsg": 20}

    door.open()
    # Whatever the probes need, it is messages that they need.
    eventually(lambda: send_many(stack, 5) and breaker_of(stack, "primary") == "closed", "the breaker closes", 40)
    back: list[str] = []

    def all_by_primary() -> bool:
        back[:] = send_many(stack, 10)
        return by(stack, back) == {"primary": 10}

    eventually(all_by_primary, "it has its share back", 30)
    everything = [*ids, *away, *back]
    assert stack.settled(everything) == {"delivered": len(everything)}
    sent_once(stack, url, everything)


def test_a_provider_that_falls_silent_is_left_and_its_messages_are_cleared_up_when_it_is_back(stack: Stack) -> None:
    with stack.provider("sandbox-3") as (process, port):
        url = f"http://127.0.0.1:{port}"
        stack.connect("silent", url, sandbox=False)
        stack.route("silence", "Silence", "silent", "sendmsg")
        known = lambda: by(stack, [stack.send(**{"from": "Silence"})]) == {"silent": 1}  # noqa: E731
        eventually(known, "the route is known", 60)
        ids = [stack.send(**{"from": "Silence"}) for _ in range(30)]
        process.signal(signal.SIGSTOP)
        ids += [stack.send(**{"from": "Silence"}) for _ in range(60)]
        eventually(lambda: breaker_of(stack, "silent") in ("opened", "probing"), "the breaker opens", 30)
        away = [stack.send(**{"from": "Silence"}) for _ in range(20)]
        assert by(stack, away).get("sendmsg", 0) >= 20 - 3  # probes go to the silent one, and wait for it

        process.signal(signal.SIGCONT)

        everything = [*ids, *away]
        assert stack.settled(everything) == {"delivered": len(everything)}
        sent_once(stack, url, everything)
        stack.run("from dispatch.models import Route\nRoute.objects.filter(name='silence').update(enabled=False)")


def test_while_one_provider_hangs_the_messages_of_another_go_through(stack: Stack) -> None:
    """More hang than all workers have threads, so any that they shared would be used up."""
    with stack.provider("sandbox-4", "--slow-seconds", "300") as (_, port):
        stack.connect("slow", f"http://127.0.0.1:{port}", sandbox=False)
        sender = f"S{uuid.uuid4().hex[:8]}"
        stack.route("slow", sender, "slow")
        eventually(lambda: by(stack, [stack.send(**{"from": sender})]) == {"slow": 1}, "the route is known", 60)
        hanging = [stack.send("+447700900909", **{"from": sender}) for _ in range(40)]
        eventually(
            lambda: stack.states(hanging)["sending"] >= 32, "every thread that could make a call for it does", 20
        )

        others = stack.send_many(60)
        assert stack.settled(others, 30) == {"delivered": 60}

        stack.run("from dispatch.models import Route\nRoute.objects.filter(name='slow').update(enabled=False)")
    stack.run("from dispatch.models import Connection\nConnection.objects.filter(name='slow').update(enabled=False)")
