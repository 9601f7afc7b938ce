"""The web process as its clients and those who deploy it meet it, over real sockets."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import requests

from tests.stack.processes import Process, free_port
from tests.stack.stack import Stack
from tests.waiting import eventually

BODY = json.dumps({"to": "+447700900900", "body": "hello"}).encode()


@contextmanager
def web(stack: Stack, folder: Path) -> Iterator[tuple[Process, int]]:
    """One more web process of its own, and its port."""
    port = free_port()
    process = Process("another-web", ["manage.py", "web", "--bind", f"127.0.0.1:{port}"], stack.environment, folder)
    process.start()
    try:
        eventually(lambda: answers(port), "the web process answers", 60)
        yield process, port
    finally:
        process.kill()


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except requests.RequestException:  # refused, or left in a queue that nobody takes from any more
        return False


def head(stack: Stack, port: int, *more: str) -> bytes:
    lines = (
        "POST /v1/messages HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: {stack.headers()['Authorization']}",
        "Content-Type: application/json",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def status(client: socket.socket) -> int:
    """Of the next answer, which is read to its end."""
    answer = HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


def test_a_body_in_chunks_is_accepted_on_a_kept_connection(stack: Stack, tmp_path: Path) -> None:
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, BODY[:5], len(BODY) - 5, BODY[5:])
    with web(stack, tmp_path) as (_, port), socket.create_connection(("127.0.0.1", port), 10) as client:
        for _ in range(2):
            client.sendall(head(stack, port, "Transfer-Encoding: chunked") + chunks)
            assert status(client) == 202


def test_a_request_under_way_is_answered_when_a_deploy_stops_the_process(stack: Stack, tmp_path: Path) -> None:
    with web(stack, tmp_path) as (process, port), socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(head(stack, port, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert b" 100 " in client.recv(65_536)  # somebody reads the body
        os.kill(process.pid, signal.SIGTERM)  # the parent alone, as whoever deploys does
        client.sendall(BODY)

        assert status(client) == 202
        eventually(lambda: not process.alive, "the process has ended", 60)


def test_a_killed_worker_is_replaced(stack: Stack, tmp_path: Path) -> None:
    with web(stack, tmp_path) as (process, port):
        [worker] = workers(process)
        os.kill(worker, signal.SIGKILL)

        eventually(lambda: answers(port) and workers(process) != [worker], "another worker answers", 60)


def test_no_worker_outlives_its_parent(stack: Stack, tmp_path: Path) -> None:
    with web(stack, tmp_path) as (process, port):
        os.kill(process.pid, signal.SIGKILL)

        eventually(lambda: not answers(port), "nobody answers any more", 30)


def workers(process: Process) -> list[int]:
    """The pids of the processes that serve; the other child keeps account of what they share."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
