"""Providers that drop, hang and come back, with every process running: nothing lost, nothing twice, nobody held up."""

import signal
from collections.abc import Iterator, Sequence

import pytest

from tests.door import Door
from tests.stack.stack import Stack
from tests.waiting import eventually

SENDER = "Failover"


@pytest.fixture
def primary(stack: Stack) -> Iterator[tuple[Door, str]]:
    """A door before a second sandbox, which goes first for what `SENDER` sends; and that sandbox's own address."""
    with (
        stack.provider("sandbox-2") as (_, port),
        Door(port) as door,
        stack.detour("primary", door.url, SENDER, "sendmsg"),
    ):
        yield door, f"http://127.0.0.1:{port}"


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
    assert stack.left_by(away) == {"sendmsg": 20}

    door.open()
    # Whatever the probes need, it is messages that they need.
    eventually(lambda: send_many(stack, 5) and breaker_of(stack, "primary") == "closed", "the breaker closes", 40)
    back: list[str] = []

    def all_by_primary() -> bool:
        back[:] = send_many(stack, 10)
        return stack.left_by(back) == {"primary": 10}

    eventually(all_by_primary, "it has its share back", 30)
    everything = [*ids, *away, *back]
    assert stack.settled(everything) == {"delivered": len(everything)}
    sent_once(stack, url, everything)


def delivered_by(stack: Stack, connection: str, ids: list[str]) -> int:
    [(count,)] = stack.sql(
        "SELECT count(*) FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id"
        " WHERE m.id = ANY(%s::uuid[]) AND m.state = 'delivered' AND c.name = %s",
        ids,
        connection,
    )
    return int(count)


def test_a_provider_that_falls_silent_is_left_and_its_messages_are_cleared_up_when_it_is_back(stack: Stack) -> None:
    sender = "Silence"
    with stack.provider("sandbox-3") as (process, port):
        url = f"http://127.0.0.1:{port}"
        with stack.detour("silent", url, sender, "sendmsg"):
            ids = [stack.send(**{"from": sender}) for _ in range(30)]
            process.signal(signal.SIGSTOP)
            ids += [stack.send(**{"from": sender}) for _ in range(60)]
            eventually(lambda: breaker_of(stack, "silent") in ("opened", "probing"), "the breaker opens", 30)
            away = [stack.send(**{"from": sender}) for _ in range(20)]
            # Not all: probes go to the silent one, and wait for it.
            eventually(lambda: delivered_by(stack, "sendmsg", away) >= len(away) / 2, "they leave by the other", 60)

            process.signal(signal.SIGCONT)

            everything = [*ids, *away]
            assert stack.settled(everything) == {"delivered": len(everything)}
            sent_once(stack, url, everything)


def test_while_one_provider_hangs_the_messages_of_another_go_through(stack: Stack) -> None:
    """More hang than all workers have threads, so any that they shared would be used up."""
    sender = "Slow"
    with (
        stack.provider("sandbox-4", "--slow-seconds", "300") as (_, port),
        stack.detour("slow", f"http://127.0.0.1:{port}", sender),
    ):
        hanging = [stack.send("+447700900909", **{"from": sender}) for _ in range(40)]
        eventually(
            lambda: stack.states(hanging)["sending"] >= 32, "every thread that could make a call for it does", 20
        )

        others = stack.send_many(60)
        assert stack.settled(others, 30) == {"delivered": 60}
