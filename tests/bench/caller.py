"""The control of whoever calls others: a bare pool of threads with `requests`, no database, no broker.

    python -m tests.bench.caller <url> <calls> <threads>     prints the seconds that they took

Two such processes stand against two of ours.
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import requests

mine = threading.local()


def call(url: str, headers: dict[str, str]) -> None:
    if not hasattr(mine, "session"):
        mine.session = requests.Session()
    body = {"to": "+447700900900", "from": "SendMSG", "channel": "sms", "body": "hello", "receipt_url": None}
    mine.session.post(url, json=body, headers={**headers, "Idempotency-Key": str(uuid4())}, timeout=15)


def main(url: str, calls: int, threads: int, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: call(url, headers), range(calls)))
    print(time.monotonic() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
