"""One sandbox provider and one receipt receiver for the whole run; an inbox and a fresh key for each test."""

import uuid
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.sandbox.driver import LATE, SLOW, Inbox, Receiver, Sandbox, running


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def sandbox(receiver: Receiver) -> Iterator[Sandbox]:  # the receiver outlives it
    with running("--late-seconds", str(LATE), "--slow-seconds", str(SLOW)) as sandbox:
        yield sandbox


@pytest.fixture
def inbox(receiver: Receiver) -> Inbox:
    path = f"/receipts/{uuid.uuid4().hex}"
    inbox = Inbox(f"http://127.0.0.1:{receiver.server_port}{path}")
    receiver.inboxes[path] = inbox
    return inbox


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())
