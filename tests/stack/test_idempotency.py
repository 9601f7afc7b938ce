"""A hundred copies of one request, at the same moment, over real connections: one message."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import requests

from tests.stack.stack import Stack

COPIES = 100


def test_a_hundred_parallel_copies_make_one_message(stack: Stack) -> None:
    reference = f"copies-{uuid4().hex}"
    headers = {**stack.headers(), "Idempotency-Key": reference}
    body = {"to": "+447700900900", "body": "hello", "client_reference": reference}
    together = threading.Barrier(COPIES)

    def post(_: int) -> requests.Response:
        together.wait(30)
        return requests.post(f"{stack.url}/v1/messages", json=body, headers=headers, timeout=30)

    with ThreadPoolExecutor(COPIES) as clients:
        answers = list(clients.map(post, range(COPIES)))

    accepted = [answer for answer in answers if answer.status_code == 202]
    others = [answer for answer in answers if answer.status_code != 202]
    assert len({answer.json()["id"] for answer in accepted}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in accepted) == 1
    assert {(answer.status_code, answer.json()["code"]) for answer in others} <= {(409, "idempotency_in_progress")}
    assert all(answer.headers["Retry-After"] == "1" for answer in others)
    assert stack.sql("SELECT count(*) FROM dispatch_message WHERE client_reference = %s", reference) == [(1,)]
    message_id = accepted[0].json()["id"]
    assert stack.finished(message_id)["status"] == "delivered"
    assert stack.received()[message_id]["sends"] == 1
