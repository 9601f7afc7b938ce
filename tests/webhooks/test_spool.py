"""What is in the spool is on this host's disk, once for each 200, until its rows are committed."""

import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sendmsg.errors import BufferUnavailable
from tests.parallel import in_threads
from webhooks.inbound.base import Payload
from webhooks.inbound.entries import Buffered, pack, unpack
from webhooks.inbound.spool import OPEN, Spool, SpoolSource

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(str(folder))


@pytest.fixture
def source(folder: Path) -> Iterator[SpoolSource]:
    with closing(SpoolSource(str(folder))) as source:
        yield source


def append(spool: Spool, *bodies: bytes) -> None:
    for body in bodies:
        spool.append("sendmsg", Payload(body, NOW))


def bodies(entries: Sequence[Buffered]) -> list[bytes]:
    return [entry.payload.body for entry in entries]


def drained(source: SpoolSource, count: int = 10) -> list[bytes]:
    found: list[bytes] = []
    while entries := source.read(count, 0):
        found += bodies(entries)
        source.done(entries)
    return found


def written(folder: Path) -> Path:
    [path] = folder.glob(f"*{OPEN}")
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_what_is_read_is_what_came(spool: Spool, source: SpoolSource) -> None:
    payload = Payload(bytes(range(256)), NOW, "GET", "a=%C3%A9&x=\xff", "text/plain; charset=\xe9")
    spool.append("vonage", payload)

    [entry] = source.read(10, 0)

    assert entry == Buffered(None, "vonage", payload)


def test_everything_is_read_in_order_and_then_nothing_is_left(spool: Spool, source: SpoolSource, folder: Path) -> None:
    sent = [b"%d" % number for number in range(25)]
    append(spool, *sent)

    assert drained(source) == sent
    assert files(folder) == []


def test_what_is_not_done_is_read_again(spool: Spool, source: SpoolSource) -> None:
    append(spool, b"1", b"2")

    assert bodies(source.read(1, 0)) == bodies(source.read(1, 0)) == [b"1"]


def test_what_comes_while_a_file_is_processed_goes_to_the_next(spool: Spool, source: SpoolSource) -> None:
    append(spool, b"1")
    first = source.read(10, 0)
    append(spool, b"2")
    source.done(first)

    assert drained(source) == []  # the end of the first
    assert drained(source) == [b"2"]


def test_a_file_of_a_living_pump_is_not_taken_from_it(spool: Spool, source: SpoolSource, folder: Path) -> None:
    append(spool, b"1")
    source.read(10, 0)

    assert drained(SpoolSource(str(folder))) == []


def test_what_a_killed_pump_left_is_read_by_another(spool: Spool, source: SpoolSource, folder: Path) -> None:
    append(spool, b"1", b"2", b"3")
    source.done(source.read(2, 0))
    source.close()  # as the end of a process does it

    assert drained(SpoolSource(str(folder))) == [b"1", b"2", b"3"]


def test_a_line_that_was_not_finished_is_kept_aside_and_those_around_it_are_read(
    spool: Spool, source: SpoolSource, folder: Path
) -> None:
    append(spool, b"1")
    path = written(folder)
    path.write_bytes(path.read_bytes() + b"\n00000000 {half")
    append(spool, b"2")
    path.write_bytes(path.read_bytes() + b"\n00000000")

    assert drained(source) == [b"1", b"2"]
    [aside] = folder.iterdir()
    assert (aside.suffix, aside.read_bytes()) == (".torn", b"00000000 {half\n00000000")


def test_a_full_disk_leaves_no_half_line_and_is_said(spool: Spool, source: SpoolSource, folder: Path) -> None:
    append(spool, b"1")
    size = written(folder).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        with pytest.raises(BufferUnavailable):
            append(spool, b"2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert written(folder).stat().st_size == size
    append(spool, b"3")
    assert drained(source) == [b"1", b"3"]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(BufferUnavailable):
        append(Spool(str(tmp_path / "gone")), b"1")


def test_writers_and_pumps_side_by_side_lose_and_repeat_nothing(folder: Path) -> None:
    found: list[bytes] = []

    def work(number: int) -> None:
        if number < 4:
            own = Spool(str(folder))  # as another process would have it
            append(own, *[b"%d-%d" % (number, one) for one in range(50)])
        else:
            source = SpoolSource(str(folder))
            for _ in range(50):
                found.extend(drained(source))

    in_threads(6, work)
    rest = SpoolSource(str(folder))
    for _ in range(100):
        found += drained(rest)

    assert sorted(found) == sorted(b"%d-%d" % (number, one) for number in range(4) for one in range(50))
    assert files(folder) == []


def test_only_we_may_read_it(spool: Spool, folder: Path) -> None:
    append(spool, b"1")

    assert written(folder).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("packed", [b"", b"{", b"[]", b'{"b": 1}', b'{"b": "*"}', b"\xff", b"[" * 100_000])
def test_what_we_did_not_pack_becomes_nobodys_webhook(packed: bytes) -> None:
    entry = unpack(7, packed)

    assert (entry.entry, entry.connection, entry.payload.body) == (7, "", packed)


def test_packed_is_one_line() -> None:
    assert b"\n" not in pack("sendmsg", Payload(b"\n\r\n", NOW, "GET", "a\nb", "c\nd"))
