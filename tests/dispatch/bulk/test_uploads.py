"""Long lists as they come over the wire: in chunks, without end, and cut off."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dispatch.models import Broadcast, Message
from tests.api.chunked import Chunks, post_in_chunks
from tests.cast import Member

pytestmark = pytest.mark.django_db(transaction=True)  # a whole request, whose end closes what it used
FIRST = json.dumps({"body": "We close at nine."}).encode() + b"\n"


def upload(member: Member | None, chunks: Iterator[bytes], kind: str = "text/csv") -> tuple[int, dict[str, Any], int]:
    """Status, document and the bytes that were read."""
    body = Chunks(chunks)
    key = {"HTTP_AUTHORIZATION": member.headers["Authorization"]} if member else {}
    status, document = post_in_chunks(body, PATH_INFO="/v1/broadcasts", CONTENT_TYPE=kind, **key)
    return status, document, body.given


def endless() -> Iterator[bytes]:
    yield FIRST + b"to\n"
    while True:
        yield b"+447700900000\n" * 1000


def test_a_list_may_come_in_chunks_that_end_anywhere(alice: Member) -> None:
    rows = b"".join(b"+4477009%05d\n" % number for number in range(20_000))
    whole = FIRST + b"to\n" + rows

    status, document, _ = upload(alice, (whole[at : at + 7001] for at in range(0, len(whole), 7001)))

    assert (status, document["recipients"]) == (202, 20_000)
    assert Message.objects.count() == 20_000


def test_json_may_come_in_chunks_beyond_what_a_message_may_take(alice: Member) -> None:
    recipients = [f"+4477009{number:05d}" for number in range(8000)]
    whole = json.dumps({"body": "We close at nine.", "recipients": recipients}).encode()

    status, document, _ = upload(alice, iter([whole[:70_000], whole[70_000:]]), "application/json")

    assert (status, document["recipients"]) == (202, 8000)


def test_of_somebody_without_a_key_nothing_is_read() -> None:
    status, document, read = upload(None, endless())

    assert (status, document["code"], read) == (401, "key_missing", 0)


def test_a_list_without_end_is_refused_at_the_cap(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.bulk.broadcast_views.CSVParser.max_bytes", 2_000_000)

    status, document, read = upload(alice, endless())

    assert (status, document["code"]) == (413, "body_too_large")
    assert 2_000_000 < read < 2_100_000
    assert not Broadcast.objects.exists()


def test_json_has_a_cap_of_its_own(alice: Member) -> None:
    status, document, read = upload(alice, iter(lambda: b" " * 65_536, b""), "application/json")

    assert (status, document["code"]) == (413, "body_too_large")
    assert read == 8_388_608 + 1


def test_a_list_that_is_cut_off_is_not_sent_by_half(alice: Member) -> None:
    def cut_off() -> Iterator[bytes]:
        yield FIRST + b"to\n+447700900000\n"
        raise OSError("no more data")

    status, document, _ = upload(alice, cut_off())

    assert (status, document["code"]) == (400, "request_invalid")
    assert not Broadcast.objects.exists()
