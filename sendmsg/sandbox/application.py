"""The sandbox provider's endpoints: answers sends as their scenario says, and tells what it received.

A send is recorded when its request has been read, before any pause. A repeat of its key during the pause is
answered 409 `in_progress`, afterwards 202 with `Idempotency-Replayed: true`; it is never a second send.
"""

import asyncio
from typing import Any

from tornado.web import Application

from sendmsg.sandbox.endpoint import Endpoint, Missing, Provider
from sendmsg.sandbox.ledger import Entry
from sendmsg.sandbox.protocol import (
    IN_PROGRESS,
    MAX_BODY,
    NOT_FOUND,
    OVERLOADED,
    TOO_LARGE,
    UNAUTHORIZED,
    Submission,
    read_submission,
)
from sendmsg.sandbox.scenarios import Refusal, Scenario, scenario_for


class Messages(Endpoint):
    async def post(self) -> None:
        self.provider.answering += 1
        try:
            await self._answer()
        finally:
            self.provider.answering -= 1

    async def _answer(self) -> None:
        submission = self._read()
        if isinstance(submission, Refusal):
            self.refuse(submission)
            return
        entry = self.provider.ledger.entry(submission.key, submission.to)
        scenario = scenario_for(submission.to)
        if entry.sends and not entry.answering:
            self.provider.ledger.replay(entry)
            await _pause(self.provider.latency)
            self.set_header("Idempotency-Replayed", "true")
            self._accept(entry)
        elif refusal := self._refusal(entry, scenario):
            await _pause(self.provider.latency)
            self.refuse(refusal)
        else:
            await self._send(entry, scenario, submission.receipt_url or self.provider.receipt_url)

    def _read(self) -> Submission | Refusal:
        if not self.authorized:
            return UNAUTHORIZED
        if self.size > MAX_BODY:
            return TOO_LARGE
        return read_submission(self.request.headers.get("Idempotency-Key"), b"".join(self.chunks))

    def _refusal(self, entry: Entry, scenario: Scenario) -> Refusal | None:
        if entry.answering:
            return IN_PROGRESS
        if refusal := scenario.refuses(entry.refusals):
            entry.refusals += 1
            return refusal
        return OVERLOADED if self.provider.receipts.full else None

    async def _send(self, entry: Entry, scenario: Scenario, receipt_url: str | None) -> None:
        self.provider.ledger.send(entry)
        entry.answering = True
        try:
            if scenario.receipts_first:
                await self.provider.receipts.play(entry, receipt_url, scenario.steps).wait()
            await _pause(self.provider.pauses[scenario.answer_after] + self.provider.latency)
        finally:
            entry.answering = False
        if scenario.answers:
            self._accept(entry)
        else:
            self.detach().close()
        if not scenario.receipts_first:
            self.provider.receipts.play(entry, receipt_url, scenario.steps)

    def _accept(self, entry: Entry) -> None:
        self.set_status(202)
        self.finish({"id": entry.message_id, "status": "accepted"})


class Message(Endpoint):
    def get(self, message_id: str) -> None:
        entry = self.provider.ledger.find(message_id)
        if not self.authorized:
            self.refuse(UNAUTHORIZED)
        elif entry is None:
            self.refuse(NOT_FOUND)
        else:
            self.finish({"id": message_id, "status": entry.status, "error_code": entry.error_code})


class Received(Endpoint):
    """Not of the protocol: how tests and benchmarks ask what arrived."""

    def get(self) -> None:
        if not self.authorized:
            self.refuse(UNAUTHORIZED)
            return
        ledger, receipts = self.provider.ledger, self.provider.receipts
        answer: dict[str, Any] = {
            "sends": ledger.sends,
            "replays": ledger.replays,
            "receipts": {
                "pending": receipts.pending,
                "posted": receipts.posted,
                "given_up": receipts.given_up,
            },
        }
        if self.get_query_argument("ids_only", None) is not None:
            answer["ids"] = ledger.keys()
        elif self.get_query_argument("totals_only", None) is None:
            entries = ledger.select(self.get_query_arguments("key") or None)
            answer["messages"] = {key: entry.tally() for key, entry in entries.items()}
        self.finish(answer)

    def delete(self) -> None:
        if not self.authorized:
            self.refuse(UNAUTHORIZED)
            return
        self.provider.ledger.reset()
        self.set_status(204)


def application(provider: Provider) -> Application:
    shared = {"provider": provider}
    return Application(
        [
            (r"/v1/messages", Messages, shared),
            (r"/v1/messages/([^/]+)", Message, shared),
            (r"/received", Received, shared),
        ],
        default_handler_class=Missing,
        default_handler_args=shared,
        log_function=lambda _: None,  # at this rate an access log is the load
    )


async def _pause(seconds: float) -> None:
    if seconds:  # a pause of nothing would still let a parallel copy in between, and costs a turn of the loop
        await asyncio.sleep(seconds)
