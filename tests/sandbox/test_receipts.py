"""Receipts: the signature of the docs, giving up, and what is refused when too many wait."""

import asyncio
import re
from pathlib import Path

import pytest

from sendmsg.sandbox import protocol, receipts
from sendmsg.sandbox.ledger import Entry
from sendmsg.sandbox.receipts import Receipts, sign
from sendmsg.sandbox.scenarios import DEFAULT_PAUSES, SCENARIOS, Refusal, Step
from tests.sandbox.driver import ROOT, Inbox

DELIVERED = (Step("delivered"),)


@pytest.fixture(scope="module")
def document() -> str:
    return Path(ROOT, "docs", "provider-protocol.md").read_text(encoding="utf-8")


def test_the_signature_in_the_docs_is_right(document: str) -> None:
    secret = re.search(r"With the secret `(.+)`:", document)
    example = re.search(r"SendMSG-Timestamp: (\d+)\nSendMSG-Signature: (v1=[0-9a-f]{64})\n\n(\{.*\})\n```", document)
    assert secret
    assert example
    assert sign(secret[1], int(example[1]), example[3].encode()) == example[2]


def test_the_docs_name_every_error_code(document: str) -> None:
    refusals = [value for value in vars(protocol).values() if isinstance(value, Refusal)]
    refusals += [scenario.refusal for scenario in SCENARIOS if scenario.refusal]
    codes = {refusal.code for refusal in refusals} | {"invalid_request", "method_not_allowed"}

    assert {code for code in codes if f"`{code}`" not in document} == set()


def test_a_receipt_that_nobody_takes_is_given_up_after_the_schedule(inbox: Inbox) -> None:
    inbox.answers.extend([500, 302, 404])

    async def scenario() -> tuple[int, int, int]:
        sender = Receipts("sandbox-receipt-secret", DEFAULT_PAUSES, retry_delays=(0.01, 0.01))
        sender.play(Entry("+447700900000", "snd_1"), inbox.url, DELIVERED)
        async with asyncio.timeout(5):
            while sender.pending:
                await asyncio.sleep(0.01)
        await sender.close()
        return len(inbox.receipts), sender.posted, sender.given_up

    assert asyncio.run(scenario()) == (3, 0, 1)


def test_no_receiver_is_a_try_that_failed() -> None:
    async def scenario() -> tuple[int, int]:
        sender = Receipts("secret", DEFAULT_PAUSES, retry_delays=())
        tried = sender.play(Entry("+447700900000", "snd_1"), "http://127.0.0.1:1/", DELIVERED)
        await asyncio.wait_for(tried.wait(), 5)
        await sender.close()
        return sender.posted, sender.given_up

    assert asyncio.run(scenario()) == (0, 1)


def test_it_says_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MAX_PENDING", 1)

    async def scenario() -> list[bool]:
        sender = Receipts("secret", DEFAULT_PAUSES)
        seen = [sender.full]
        sender.play(Entry("+447700900000", "snd_1"), None, DELIVERED)
        seen.append(sender.full)
        async with asyncio.timeout(5):
            while sender.full:
                await asyncio.sleep(0.01)
        await sender.close()
        return seen

    assert asyncio.run(scenario()) == [False, True]
