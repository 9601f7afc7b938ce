"""The pump as a process, killed in the middle of its calls and stopped politely."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from dispatch import transitions
from dispatch.changes import Change
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.faults import FaultServer, Wire, answer
from tests.stack.processes import Process, database_urls
from tests.waiting import eventually
from tests.webhooks.callbacks.driving import make_endpoint, sent_message, told, verified
from webhooks.callbacks.models import Callback

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])
MESSAGES = 40
STUCK = 8  # calls that are never answered to the first process


@pytest.fixture
def pump(tmp_path: Path) -> Iterator[Process]:
    process = Process("callbacks", ("manage.py", "callbacks", "--skip-checks"), environment(), tmp_path)
    process.start()
    yield process
    process.kill()


def environment() -> dict[str, str]:
    return {**database_urls(), "CALLBACKS_ALLOW_HTTP": "true", "CALLBACKS_ALLOW_PRIVATE": "true"}


class Forgetful:
    """A receiver that takes what it is told, and until `freed` does not answer every fifth."""

    def __init__(self) -> None:
        self.freed = threading.Event()
        self.silent = 0

    def __call__(self, wire: Wire) -> bool:
        if not self.freed.is_set() and self.silent < STUCK:
            self.silent += 1
            while not self.freed.wait(0.1) and not wire.ending.is_set():
                pass
            return False
        return answer(200)(wire)


def test_a_kill_in_the_middle_of_its_calls_loses_nothing(acme: Account, pump: Process, loopback: None) -> None:
    receiver = Forgetful()
    with FaultServer(receiver) as server:
        endpoint = make_endpoint(acme, server.url)
        messages = [sent_message(acme) for _ in range(MESSAGES)]
        transitions.apply([Change(message.id, State.DELIVERED) for message in messages])
        eventually(lambda: receiver.silent == STUCK, f"calls under way; {pump.tail()}")

        pump.kill()
        receiver.freed.set()
        # The leases of what it held, as they are after their time.
        Callback.objects.filter(state="waiting").update(due_at=timezone.now())
        pump.start()
        eventually(
            lambda: Callback.objects.filter(state="delivered").count() == MESSAGES,
            f"every callback delivered; {pump.tail()}",
        )

        heard = Counter(document["data"]["id"] for document in told(server))
        assert set(heard) == {str(message.id) for message in messages}
        twice = [request.headers["webhook-id"] for request in server.requests]
        assert len(set(twice)) == MESSAGES, "what came twice came under the same id"
        assert all(verified(request, endpoint.secret) for request in server.requests)


def test_a_stop_lets_the_calls_under_way_end(acme: Account, pump: Process, loopback: None) -> None:
    receiver = Forgetful()
    with FaultServer(receiver) as server:
        make_endpoint(acme, server.url)
        transitions.apply([Change(sent_message(acme).id, State.DELIVERED)])
        eventually(lambda: receiver.silent == 1, f"a call under way; {pump.tail()}")
        threading.Timer(0.5, receiver.freed.set).start()

        assert pump.stop() == 0

        assert Callback.objects.get().attempts == 1, pump.tail()
