"""The posting connection: kept while the other side keeps it, opened again when it does not."""

import asyncio

import pytest

from sendmsg.sandbox.keepalive import Connection

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post_to(answers: list[bytes], hang_up_after: int = 99, timeout: float = 5) -> tuple[list[int | str], int]:
    """Posts once for each of `answers`; returns statuses, or names of errors, and the connections it took.

    The server closes a connection, without a word, once it gave `hang_up_after` answers on it.
    """
    left = list(answers)
    opened = 0
    closed = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        try:
            for _ in range(hang_up_after):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"POST /receipts?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
                assert await reader.readexactly(4) == b"body"
                writer.write(left.pop(0))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        closed.release()

    async def run() -> list[int | str]:
        seen: list[int | str] = []
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/receipts?a=b"
            connection = Connection()
            for _ in answers:
                try:
                    seen.append(await connection.post(url, {}, b"body", timeout))
                except OSError as error:
                    seen.append(type(error).__name__)
            connection.close()
            for _ in range(opened):
                await asyncio.wait_for(closed.acquire(), 5)
        return seen

    return asyncio.run(run()), opened


def test_one_connection_carries_many_posts() -> None:
    assert post_to([KEPT, KEPT, b"HTTP/1.1 204 No Content\r\n\r\n", KEPT]) == ([200, 200, 204, 200], 1)


def test_an_interim_answer_is_skipped() -> None:
    assert post_to([b"HTTP/1.1 100 Continue\r\n\r\n" + KEPT, KEPT]) == ([200, 200], 1)


def test_a_connection_closed_while_idle_is_opened_again() -> None:
    assert post_to([KEPT, KEPT, KEPT], hang_up_after=1) == ([200, 200, 200], 3)


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_a_connection_whose_next_answer_could_not_be_found_is_not_kept(last: bytes) -> None:
    assert post_to([last, KEPT]) == ([200, 200], 2)


@pytest.mark.parametrize("noise", [b"hello\r\n\r\n", b"x" * 70_000])
def test_what_is_no_http_is_a_connection_error(noise: bytes) -> None:
    assert post_to([noise, KEPT]) == (["ConnectionError", 200], 2)


def test_no_answer_in_time_is_a_timeout_and_the_connection_is_not_kept() -> None:
    assert post_to([b"", KEPT], timeout=0.2) == (["TimeoutError", 200], 2)
