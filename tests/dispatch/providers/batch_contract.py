"""What an adapter must do whose provider takes one text for many recipients: its suite inherits `BatchContract`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from dispatch.providers.base import Accepted, Outbound, Outcome, Rejected, Retry, Unavailable, Unknown
from dispatch.providers.batches import BatchHttpProvider
from tests.dispatch.providers.case import message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, Received, Wire, hang

WRONG = "+447700900199"


def many(count: int, **fields: object) -> list[Outbound]:
    """Messages alike, to one recipient each."""
    return [message(to=f"+44770090{index:04}", **fields) for index in range(count)]


class BatchContract(ProviderContract):
    provider: ClassVar[type[BatchHttpProvider]]

    def refusal(self) -> Fault:
        """How the provider refuses a whole call of which one recipient is wrong."""
        raise NotImplementedError

    def recipients(self, request: Received) -> list[str]:
        """The numbers that the request goes to, with their `+`."""
        raise NotImplementedError

    def refuse_whole(self, wire: Wire) -> bool:
        """Takes a call unless `WRONG` is among its recipients."""
        wrong = WRONG in self.recipients(wire.request)
        return self.refusal()(wire) if wrong else self.accept(wire)

    def sent_to(self, server: FaultServer) -> list[list[str]]:
        return [self.recipients(request) for request in server.requests]

    def taken(self, batch: Sequence[Outbound]) -> list[Outcome]:
        return [Accepted((self.id_of(one),)) for one in batch]

    def test_messages_alike_go_in_one_call(self, server: FaultServer) -> None:
        batch = many(50)
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == self.taken(batch)
        assert self.sent_to(server) == [[one.to for one in batch]]

    def test_a_call_is_no_larger_than_the_provider_takes(
        self, server: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.provider.capabilities.batch_size > 1
        monkeypatch.setattr(self.provider, "capabilities", replace(self.provider.capabilities, batch_size=3))
        batch = many(7)
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == self.taken(batch)
        assert [len(numbers) for numbers in self.sent_to(server)] == [3, 3, 1]

    def test_a_full_call_is_read_whole(self, server: FaultServer) -> None:
        batch = many(self.provider.capabilities.batch_size)
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == self.taken(batch)
        assert len(server.requests) == 1

    def test_messages_that_differ_go_apart_and_come_back_in_order(self, server: FaultServer) -> None:
        differing: list[dict[str, object]] = [{}, {"body": "Another text."}, {"sender": "Other"}, {"valid_for": 600.0}]
        batch = [one for group in zip(*(many(5, **fields) for fields in differing), strict=True) for one in group]
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == self.taken(batch)
        assert self.sent_to(server) == [[one.to for one in many(5)]] * 4
        assert [self.text(request) for request in server.requests] == [
            batch[0].body,
            "Another text.",
            batch[0].body,
            batch[0].body,
        ]

    def test_a_recipient_is_named_once_in_a_call(self, server: FaultServer) -> None:
        twice = many(2)[1]
        batch = [*many(2), message(to=twice.to), message(to=twice.to)]
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == self.taken(batch)
        assert self.sent_to(server) == [[one.to for one in many(2)], [twice.to], [twice.to]]

    def test_one_wrong_recipient_costs_the_others_nothing(self, server: FaultServer) -> None:
        server.play(self.refuse_whole)
        batch = [*many(5), message(to=WRONG), *many(9)[5:]]
        outcomes = self.adapter(server.url).send(batch)

        assert isinstance(outcomes[5], Rejected)
        others = [*batch[:5], *batch[6:]]
        assert [*outcomes[:5], *outcomes[6:]] == self.taken(others)
        accepted = [number for numbers in self.sent_to(server) if WRONG not in numbers for number in numbers]
        assert sorted(accepted) == sorted(one.to for one in others)

    def test_refused_credentials_end_the_batch(self, server: FaultServer) -> None:
        server.play(self.unauthorized[0], self.accept)
        outcomes = self.adapter(server.url).send([*many(3), *many(3, body="Another text.")])

        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 6
        assert len(server.requests) == 1

    def test_what_is_unknown_of_one_call_says_nothing_of_the_next(self, server: FaultServer) -> None:
        server.play(hang, self.accept)
        batch = [*many(2), *many(2, body="Another text.")]
        outcomes = self.adapter(server.url, read_timeout=0.2).send(batch)

        assert [type(outcome) for outcome in outcomes[:2]] == [Unknown, Unknown]
        assert outcomes[2:] == self.taken(batch[2:])

    def test_calls_that_there_was_no_time_for_are_for_later(self, server: FaultServer) -> None:
        server.play(hang)
        outcomes = self.adapter(server.url, total_timeout=0.2).send([*many(2), *many(2, body="Another text.")])

        assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown, Retry, Retry]
        assert len(server.requests) == 1

    def test_a_fraction_of_a_second_sets_no_messages_apart(self, server: FaultServer) -> None:
        batch = [message(to=one.to, valid_for=600 + index / 10) for index, one in enumerate(many(5))]
        self.adapter(server.url).send(batch)

        assert len(server.requests) == 1
