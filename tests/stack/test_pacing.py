"""Pace and fairness with every process running: a limit holds over all workers, what is urgent overtakes a crowd."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack
from tests.waiting import eventually

RATE = 10  # segments a second
SLACK = 0.3  # seconds that the first call may have been late
SENDER = "Paced"
CROWD = 20_000


@pytest.fixture
def paced(stack: Stack) -> Iterator[str]:
    """A sandbox of its own behind a connection with a rate; its address."""
    with stack.provider("sandbox-paced") as (_, port):
        url = f"http://127.0.0.1:{port}"
        with stack.detour("paced", url, SENDER, rate=RATE):
            yield url


def test_five_workers_together_keep_a_connections_rate(stack: Stack, paced: str) -> None:
    with stack.worker("third"), stack.worker("fourth"), stack.worker("fifth"):
        ids = [stack.send(**{"from": SENDER}) for _ in range(6 * RATE)]
        stack.settled(ids, 60)

    times = sorted(one["sent_at"] for key, one in stack.received(paced).items() if key in set(ids))
    assert len(times) == len(ids)
    # However long a busy machine holds a call back, none may be ahead of its turn; the drill measures single seconds.
    ahead = [number / RATE - (at - times[0]) for number, at in enumerate(times)]
    assert max(ahead) < SLACK
    tries = stack.sql("SELECT max(failures) FROM dispatch_message WHERE id = ANY(%s::uuid[])", ids)
    assert tries == [(0,)]


# Past the rows that the relay holds: it locks them in another order.
TAKE_BACK = """
UPDATE dispatch_message SET state = 'canceled' WHERE id IN (
    SELECT m.id FROM dispatch_message m JOIN accounts_account a ON a.id = m.account_id
    WHERE a.name = 'Crowd' AND m.state = 'queued' FOR UPDATE OF m SKIP LOCKED
)
"""


@pytest.fixture
def crowd(stack: Stack) -> Iterator[None]:
    """Bulk messages of another account, some on their way and most of them queued; gone afterwards."""
    stack.run("from sendmsg.accounts.models import Account\nAccount.objects.get_or_create(name='Crowd')")
    stack.queue("Crowd", CROWD)
    eventually(lambda: of_crowd(stack, "sent", "delivered") > 20, "the crowd is on its way", 60)
    yield

    def gone() -> bool:
        stack.sql(TAKE_BACK)
        return of_crowd(stack, "queued", "released", "sending") == 0

    eventually(gone, "the rest is taken back or sent", 60)


def test_what_is_urgent_overtakes_another_accounts_crowd(stack: Stack, crowd: None) -> None:
    high = [stack.send(priority="high") for _ in range(5)]
    normal = [stack.send() for _ in range(5)]

    assert stack.settled([*high, *normal], 60) == {"delivered": 10}
    assert of_crowd(stack, "queued") > CROWD / 2


def of_crowd(stack: Stack, *states: str) -> int:
    [(count,)] = stack.sql(
        "SELECT count(*) FROM dispatch_message m JOIN accounts_account a ON a.id = m.account_id"
        " WHERE a.name = 'Crowd' AND m.state = ANY(%s)",
        list(states),
    )
    return int(count)
