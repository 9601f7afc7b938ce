"""Between our 200 and its processing a webhook is in Redis, whoever dies meanwhile."""

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from redis.exceptions import RedisError

from sendmsg import redis
from sendmsg.errors import BufferUnavailable
from tests.outages import redis_away
from webhooks.inbound import buffer, buffer_redis
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_redis import GROUP, STREAM, Reader
from webhooks.inbound.entries import Buffered

pytestmark = pytest.mark.usefixtures("empty_buffer")
NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
BLOCK = 0.001  # seconds


def append(*bodies: bytes) -> None:
    for body in bodies:
        buffer.append("sendmsg", Payload(body, NOW))


def read(reader: Reader, count: int = 10) -> list[bytes]:
    return [entry.payload.body for entry in reader.read(count, BLOCK)]


def left() -> tuple[int, int]:
    """Entries in the stream, and those among them that somebody has taken."""
    stream = redis.key(STREAM)
    return int(redis.client().xlen(stream)), int(redis.client().xpending(stream, GROUP)["pending"])


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that was taken counts as abandoned at once."""
    monkeypatch.setattr(buffer_redis, "ABANDONED", 0)


def test_what_is_read_is_what_came() -> None:
    body = bytes(range(256))
    append(body)

    [entry] = Reader("a").read(10, BLOCK)

    assert entry == Buffered(entry.entry, "sendmsg", Payload(body, NOW))


def test_what_the_body_does_not_say_is_kept_beside_it() -> None:
    payload = Payload(b"", NOW, "GET", "status=delivered&text=%C3%A9&x=\xff", "text/plain; charset=\xe9")
    buffer.append("vonage", payload)

    [entry] = Reader("a").read(10, BLOCK)

    assert entry.payload == payload


def test_an_entry_of_an_older_release_is_a_post_without_a_query() -> None:
    redis.client().xadd(redis.key(STREAM), {"c": "sendmsg", "b": b"{}", "t": NOW.isoformat()})

    [entry] = Reader("a").read(10, BLOCK)

    assert entry.payload == Payload(b"{}", NOW, "POST", "", "")


def test_webhooks_that_came_before_the_first_pump_are_read_in_order() -> None:
    append(b"1", b"2", b"3")

    reader = Reader("a")

    assert (read(reader, 2), read(Reader("b"), 2)) == ([b"1", b"2"], [b"3"])


def test_an_empty_buffer_is_no_work() -> None:
    assert read(Reader("a")) == []


def test_what_is_done_is_gone_and_nothing_else() -> None:
    append(b"1", b"2", b"3")
    reader = Reader("a")
    first, *_ = reader.read(2, BLOCK)

    reader.done([first])

    assert left() == (2, 1)


def test_an_entry_goes_to_one_reader() -> None:
    append(b"1", b"2")
    first, second = Reader("a"), Reader("b")

    assert (read(first, 1), read(second, 1), read(second)) == ([b"1"], [b"2"], [b"2"])


def test_a_reader_that_did_not_finish_gets_the_same_again_first() -> None:
    append(b"1", b"2")
    reader = Reader("a")
    read(reader, 1)

    assert read(reader) == [b"1"]
    reader.done(reader.read(10, BLOCK))
    assert read(reader) == [b"2"]


def test_a_pump_that_starts_again_under_its_name_gets_what_it_left() -> None:
    append(b"1")
    read(Reader("a"))

    assert read(Reader("a")) == [b"1"]


def test_what_a_living_reader_holds_is_not_taken_from_it() -> None:
    append(b"1")
    read(Reader("a"))

    assert read(Reader("b")) == []


@pytest.mark.usefixtures("instant")
def test_what_a_killed_reader_held_goes_to_another() -> None:
    append(b"1", b"2", b"3")
    read(Reader("killed"), 2)
    other = Reader("other")

    taken = other.read(10, BLOCK)

    assert [entry.payload.body for entry in taken] == [b"1", b"2"]
    assert {entry.payload.at for entry in taken} == {NOW}
    other.done(taken)
    assert read(other) == [b"3"]


@pytest.mark.usefixtures("instant")
def test_more_than_one_batch_of_a_killed_reader_is_taken_over() -> None:
    bodies = [str(number).encode() for number in range(25)]
    append(*bodies)
    read(Reader("killed"), 25)
    other = Reader("other")

    found: list[bytes] = []
    while entries := other.read(10, BLOCK):
        found += [entry.payload.body for entry in entries]
        other.done(entries)

    assert found == bodies
    assert left() == (0, 0)


def test_a_reader_outlives_redis_losing_its_data() -> None:
    reader = Reader("a")
    read(reader)
    redis.client().delete(redis.key(STREAM))
    append(b"after")

    with pytest.raises(RedisError):
        read(reader)

    assert read(reader) == [b"after"]


def test_an_entry_that_we_did_not_write_holds_up_nobody() -> None:
    append(b"1")
    redis.client().xadd(redis.key(STREAM), {"x": "y"})
    redis.client().xadd(redis.key(STREAM), {"c": b"\xff", "b": "x", "t": "yesterday"})
    append(b"2")

    entries = Reader("a").read(10, BLOCK)

    assert [entry.payload.body for entry in entries] == [b"1", b"", b"x", b"2"]
    assert all(entry.payload.at.tzinfo for entry in entries)


def test_nothing_trims_the_buffer() -> None:
    append(*[b"x"] * 1000)

    assert len(read(Reader("a"), 2000)) == 1000


def test_what_redis_does_not_confirm_is_not_stored() -> None:
    with redis_away(), pytest.raises(BufferUnavailable):
        append(b"1")


def test_what_dead_pumps_hold_is_asked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader("asking")
    asked = Mock(wraps=reader._client.xautoclaim)
    monkeypatch.setattr(reader._client, "xautoclaim", asked)

    for _ in range(3):
        read(reader)
    assert asked.call_count == 1

    monkeypatch.setattr(buffer_redis, "ABANDONED", 0)
    read(reader)
    assert asked.call_count == 2
