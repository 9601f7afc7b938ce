"""What the contracts of adapters stand on: what a provider's suite fills in, and what its tests are given."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

from dispatch.providers.base import MAX_CODE, Accepted, ConnectionConfig, Outbound, Outcome, Provider
from tests.faults import Fault, FaultServer, Received, Wire

TO = "+447700900123"
BODY = "Your code is 482913."


def message(**fields: Any) -> Outbound:
    return Outbound(**{"message_id": uuid4(), "to": TO, "sender": "Acme", "body": BODY, "channel": "sms", **fields})


def http_date(ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)


class ProviderCase:
    """Inherit, and fill in what is below."""

    provider: ClassVar[type[Provider]]
    credentials: ClassVar[Mapping[str, str]]
    rejections: ClassVar[Mapping[str, Fault]]  # our code → how the provider says it
    unauthorized: ClassVar[Sequence[Fault]]  # how it refuses our credentials
    unavailable: ClassVar[Sequence[Fault]]  # how it says that it took nothing
    doubtful: ClassVar[Sequence[Fault]]  # answers after which it may have taken the message
    idless: ClassVar[Sequence[Fault]]  # success that lacks a usable message id
    carries_ids: ClassVar[bool] = True  # False: the provider's API has no place for an id of ours

    def accept(self, wire: Wire) -> bool:
        """Accepts each message of a request under the id `id_of(message)`."""
        raise NotImplementedError

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        """ "Too many requests", with these headers."""
        raise NotImplementedError

    def message_ids(self, request: Received) -> list[str]:
        """Our message ids, as the request carries them."""
        raise NotImplementedError

    def text(self, request: Received) -> str:
        """The message's text, as the request carries it."""
        raise NotImplementedError

    def validity(self, request: Received) -> int | None:
        """The seconds that the request gives the message; None if it leaves that to the provider."""
        return None

    def provider_id(self, message_id: UUID) -> str:
        return f"id-{message_id.hex}"

    def id_of(self, one: Outbound) -> str:
        """The id under which `accept` takes this message, where more than our message id decides it."""
        return self.provider_id(one.message_id)

    # Given to the tests.

    @pytest.fixture
    def server(self) -> Iterator[FaultServer]:
        with FaultServer(self.accept) as server:
            yield server

    def adapter(self, base_url: str, **config: Any) -> Provider:
        return self.provider(
            ConnectionConfig(
                **{
                    "name": "main",
                    "base_url": base_url,
                    "credentials": self.credentials,
                    "receipt_url": "https://gateway.example/webhooks/x/main",
                    "concurrency": 4,
                    # Longer than a loaded machine stands still; what waits for one names a shorter one.
                    "connect_timeout": 5.0,
                    "read_timeout": 10.0,
                    "total_timeout": 15.0,
                    **config,
                }
            )
        )

    def outcome(self, server: FaultServer, fault: Fault, **config: Any) -> Outcome:
        server.play(fault)
        adapter = self.adapter(server.url, **config)
        try:
            (outcome,) = adapter.send([message()])
        finally:
            adapter.close()
        if not isinstance(outcome, Accepted):
            assert 0 < len(outcome.code) <= MAX_CODE
        return outcome


def assert_clean(credentials: Mapping[str, str], *texts: str) -> None:
    """Neither credentials nor what is private in a message is in any of these."""
    for planted in (*credentials.values(), TO, BODY):
        assert not any(planted in text for text in texts)
