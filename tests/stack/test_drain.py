"""A deploy in the middle of everything: each process is asked to end, ends in time, and leaves nothing in doubt."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.stack import SENDERS, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)
COUNT = 300
AT_A_TIME = 4  # calls of each worker: what is sent lasts longer than all the replacing
SENDER = "Deploy"


def test_processes_that_are_replaced_amid_calls_leave_nothing_in_doubt(stack: Stack) -> None:
    def under_way(ids: list[str]) -> int:
        [(count,)] = stack.sql(
            "SELECT count(*) FROM dispatch_message WHERE state = 'sending' AND id = ANY(%s::uuid[])", ids
        )
        return int(count)

    with stack.provider("unhurried", "--latency-ms", "700") as (_, port):
        url = f"http://127.0.0.1:{port}"
        with stack.detour("unhurried", url, SENDER, concurrency=AT_A_TIME), ThreadPoolExecutor(SENDERS) as pool:
            ids = list(pool.map(lambda _: stack.send(**{"from": SENDER}), range(COUNT)))
            for name in ("worker", "relay", "worker-2", "receipts", "logwriter", "callbacks"):
                process = stack.processes[name]
                eventually(lambda: under_way(ids), f"calls are under way before {name} is replaced")
                assert process.stop() == 0, process.tail()
                process.start()
            states, received = stack.settled(ids), stack.received(url)

    assert states == {"delivered": COUNT}
    assert {(received[message_id]["sends"], received[message_id]["replays"]) for message_id in ids} == {(1, 0)}
    mine = "message_id = ANY(%s::uuid[])"
    outcomes = {outcome for (outcome,) in stack.sql(f"SELECT outcome FROM dispatch_attempt WHERE {mine}", ids)}
    assert outcomes <= {"accepted", "not_sent"}  # what was claimed and not begun was handed back
