"""The engine without its broker: what the relay releases is delivered here and now, on real rows and real sockets."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from dispatch import directory, sending
from dispatch.models import Attempt, Connection, Message
from dispatch.relay import release
from dispatch.states import State
from tests.factories import make_connection
from tests.faults import Fault, FaultServer, Wire, json_answer

TELNYX: Final[dict[str, Any]] = {"provider": "telnyx", "credentials": {"api_key": "k"}}
WHATSAPP: Final[dict[str, Any]] = {
    "provider": "whatsapp_cloud",
    "credentials": {"access_token": "t", "phone_number_id": "1"},
}
INFOBIP: Final[dict[str, Any]] = {"provider": "infobip", "credentials": {"api_key": "k"}}


def takes(wire: Wire) -> bool:
    """A Telnyx that accepts."""
    key = wire.request.headers["idempotency-key"]
    return json_answer(200, {"data": {"id": f"telnyx-{key}"}})(wire)


def refuses(code: str, status: int = 422) -> Fault:
    """A Telnyx that refuses for good."""
    return json_answer(status, {"errors": [{"code": code}]})


@contextmanager
def connected(**scripts: tuple[Mapping[str, Any], Fault]) -> Iterator[dict[str, FaultServer]]:
    """Connections by these names, each with its fields and how its provider behaves; the servers, by name."""
    sending.close_all(20)
    with ExitStack() as stack:
        servers = {}
        for name, (fields, fault) in scripts.items():
            servers[name] = stack.enter_context(FaultServer(fault))
            make_connection(name, base_url=servers[name].url, **fields)
        yield servers
        sending.close_all(20)


def turn() -> int:
    """Make everything queued due, except what waits in doubt, and deliver what a relay releases; how many."""
    directory.forget()
    Message.objects.filter(~Q(in_doubt=True), state=State.QUEUED).update(due_at=timezone.now())
    references: list[tuple[str, list[tuple[UUID, int]]]] = release(directory.entries(), 100)
    for name, batch in references:
        sending.deliver_batch(name, batch)
        assert sending.wait_settled(30)
    return sum(len(batch) for _, batch in references)


def tries(message: Message) -> list[tuple[str, str]]:
    """The message's attempts: where, and how each ended."""
    names = dict(Connection.objects.values_list("id", "name"))
    rows = Attempt.objects.filter(message=message).order_by("number")
    return [(names[row.connection_id], row.outcome) for row in rows]
