"""The sandbox provider's server: keys, limits, error shape, idempotency, counts, start and stop."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from sendmsg.sandbox.server import parse
from tests.sandbox.driver import DEADLINE, KEY, ROOT, Inbox, Sandbox, poll, running, spawn

TO = "+447700900000"


def post(sandbox: Sandbox, body: Any, **headers: str) -> tuple[int, str]:
    """Status and error code of a raw POST with the right key, unless `headers` say otherwise."""
    headers = {"Idempotency-Key": "raw", "Content-Type": "application/json"} | headers
    answer = sandbox.session.post(f"{sandbox.url}/v1/messages", data=body, headers=headers, timeout=DEADLINE)
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    return answer.status_code, error["code"]


def message(**fields: Any) -> str:
    return json.dumps({"to": TO, "from": "Acme", "body": "Hello", "channel": "sms"} | fields)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"bearer {KEY}x", "Bearer ké"])
def test_a_wrong_key_is_refused_everywhere(sandbox: Sandbox, given: str) -> None:
    headers = {"Authorization": given.encode("utf-8")}
    for method, path in (
        ("POST", "/v1/messages"),
        ("GET", "/v1/messages/snd_1"),
        ("GET", "/received"),
        ("DELETE", "/received"),
    ):
        answer = requests.request(method, sandbox.url + path, headers=headers, timeout=DEADLINE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        b"\xff\xfe{}",
        "[" * 60_000,
        message(to=None),
        message(to=447700900000),
        message(body=None),
        message(body=""),
        message(channel=None),
        message(channel="fax"),
        message(**{"from": 7}),
        message(receipt_url=7),
        message(receipt_url="/relative"),
        message(receipt_url="ftp://127.0.0.1/"),
        message(receipt_url="http://127.0.0.1:99999/"),
        message(receipt_url="http://127.0.0.1/a\r\nb: c"),
        message(receipt_url="http://alice@127.0.0.1/"),
    ],
    ids=str,
)
def test_a_malformed_request_is_refused(sandbox: Sandbox, body: str | bytes) -> None:
    assert post(sandbox, body) == (400, "invalid_request")


@pytest.mark.parametrize("key", ["", "with space", "k" * 256, "ké".encode()])
def test_an_unusable_idempotency_key_is_refused(sandbox: Sandbox, key: Any) -> None:
    assert post(sandbox, message(), **{"Idempotency-Key": key}) == (400, "invalid_request")


@pytest.mark.parametrize("to", ["447700900000", "+0447700900000", "+44", "+44770090000000000", "+44 7700", ""])
def test_a_recipient_that_is_no_number_is_refused(sandbox: Sandbox, to: str) -> None:
    assert post(sandbox, message(to=to)) == (422, "invalid_recipient")


def test_fields_that_the_protocol_does_not_know_are_ignored(sandbox: Sandbox, key: str) -> None:
    assert sandbox.send(TO, key, flavour="mint").status_code == 202


def test_a_body_of_64_kb_is_read_and_one_byte_more_is_not(sandbox: Sandbox, key: str) -> None:
    largest = message().ljust(65_536)
    headers = {"Idempotency-Key": key}

    answer = sandbox.session.post(f"{sandbox.url}/v1/messages", data=largest, headers=headers, timeout=DEADLINE)

    assert answer.status_code == 202
    assert post(sandbox, largest + " ") == (413, "too_large")


def test_a_huge_body_gets_its_answer_with_a_length_or_chunked(sandbox: Sandbox) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 100_000

    assert post(sandbox, b" " * 5_000_000) == (413, "too_large")
    assert post(sandbox, chunks()) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("POST", "/v2/messages", 404, "not_found"),
        ("GET", "/v1/messages/snd_unknown", 404, "not_found"),
        ("GET", "/v1/messages", 405, "method_not_allowed"),
        ("PUT", "/received", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_has_the_error_shape(
    sandbox: Sandbox, method: str, path: str, status: int, code: str
) -> None:
    answer = sandbox.session.request(method, sandbox.url + path, timeout=DEADLINE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_refusals_keep_the_connection(sandbox: Sandbox) -> None:
    steps = [
        ("POST", "/v2/messages", KEY, 404),
        ("POST", "/v1/messages", "wrong", 401),
        ("POST", "/v1/messages", KEY, 413),
        ("PUT", "/v1/messages", KEY, 405),
        ("GET", "/received?totals_only=1", KEY, 200),
    ]
    connection = HTTPConnection(sandbox.url.removeprefix("http://"), timeout=DEADLINE)
    sockets = set()
    for method, path, key, status in steps:
        connection.request(method, path, b" " * 70_000, {"Authorization": f"Bearer {key}"})
        sockets.add(connection.sock)
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (status, True)
    connection.close()
    assert len(sockets) == 1


def test_a_repeated_key_is_replayed_and_not_sent(sandbox: Sandbox, inbox: Inbox, key: str) -> None:
    first, repeat = (sandbox.send(TO, key, inbox) for _ in range(2))

    assert repeat.status_code == 202
    assert repeat.json() == first.json()
    assert repeat.headers["Idempotency-Replayed"] == "true"
    entry = sandbox.received(key)
    assert (entry["sends"], entry["replays"]) == (1, 1)
    sandbox.settle()
    assert len(inbox.wait_for(1)) == 1


@pytest.mark.parametrize("to", ["+447700900000", "+447700900004"], ids=["at once", "while answering"])
def test_parallel_copies_of_a_key_make_one_send(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: sandbox.send(to, key, inbox), range(20)))

    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer.json()["error"]["code"] for answer in answers if answer.status_code != 202]
    assert len({answer.json()["id"] for answer in accepted}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in accepted].count(None) == 1
    assert set(refused) <= {"in_progress"}
    assert sandbox.received(key)["sends"] == 1
    sandbox.settle()
    assert len(inbox.receipts) == 1


def test_a_receipt_that_is_not_taken_comes_again(sandbox: Sandbox, inbox: Inbox, key: str) -> None:
    inbox.answers.append(503)

    sandbox.send(TO, key, inbox)

    refused, taken = inbox.wait_for(2)
    assert refused.raw == taken.raw
    assert taken.arrived - refused.arrived >= 1


def test_what_was_received_can_be_asked_for_and_forgotten(inbox: Inbox) -> None:
    with running() as sandbox:
        ids = [sandbox.send(TO, key, inbox).json()["id"] for key in ("a", "b", "b")]
        sandbox.settle()
        counts = {"sends": 2, "replays": 1, "receipts": {"pending": 0, "posted": 2, "given_up": 0}}
        times = {key: one["sent_at"] for key, one in sandbox.get("/received").json()["messages"].items()}
        a = {"sends": 1, "replays": 0, "refusals": 0, "to": TO, "id": ids[0], "sent_at": times["a"]}
        b = {"sends": 1, "replays": 1, "refusals": 0, "to": TO, "id": ids[1], "sent_at": times["b"]}

        assert sandbox.get("/received").json() == counts | {"messages": {"a": a, "b": b}}
        assert sandbox.get("/received?key=b&key=c").json() == counts | {"messages": {"b": b}}
        assert sandbox.get("/received?ids_only=1").json() == counts | {"ids": ["a", "b"]}
        assert sandbox.get("/received?totals_only=1").json() == counts

        answer = sandbox.session.delete(f"{sandbox.url}/received", timeout=DEADLINE)
        assert (answer.status_code, answer.content) == (204, b"")
        emptied = sandbox.get("/received").json()
        assert (emptied["messages"], emptied["sends"], emptied["replays"]) == ({}, 0, 0)
        assert sandbox.get(f"/v1/messages/{ids[0]}").status_code == 404


def test_flags_give_a_default_receipt_url_and_a_latency(inbox: Inbox, key: str) -> None:
    with running("--receipt-url", inbox.url, "--latency-ms", "100") as sandbox:
        sent_at = time.monotonic()
        answer = sandbox.send(TO, key)

        assert time.monotonic() - sent_at >= 0.1
        assert [event["id"] for event in inbox.events(1)] == [answer.json()["id"]]


def test_without_a_receipt_url_the_status_still_moves(sandbox: Sandbox, key: str) -> None:
    message_id = sandbox.send("+447700900006", key).json()["id"]
    poll(lambda: sandbox.status(message_id) == ("undelivered", "absent_subscriber"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_a_second_even_while_it_answers(inbox: Inbox, key: str, signum: signal.Signals) -> None:
    inbox.answers.append(503)
    with running() as sandbox, ThreadPoolExecutor(1) as pool:
        sandbox.send(TO, f"{key}-refused-receipt", inbox)
        slow = pool.submit(sandbox.send, "+447700900009", key)
        poll(lambda: sandbox.get("/received?totals_only=1").json()["sends"] == 2)

        sandbox.process.send_signal(signum)

        assert sandbox.process.wait(timeout=1) == 0
        with pytest.raises(requests.ConnectionError):
            slow.result(DEADLINE)


def test_an_answer_under_way_is_given_before_it_stops(key: str) -> None:
    with running("--latency-ms", "300") as sandbox, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(sandbox.send, TO, key)
        poll(lambda: sandbox.get("/received?totals_only=1").json()["sends"] == 1)

        sandbox.process.send_signal(signal.SIGTERM)

        assert answer.result(DEADLINE).status_code == 202


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with spawn("--port", str(port)) as process:
            out, errors = process.communicate(timeout=DEADLINE)

    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(rf"sandbox provider: can't listen on 127.0.0.1:{port}: .* in use; --port .*\n", errors)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--receipt-secret", "s"], "SANDBOX_API_KEY"),
        (["--api-key", "k"], "SANDBOX_RECEIPT_SECRET"),
        (["--api-key", "k", "--receipt-secret", "s", "--port", "70000"], "--port"),
        (["--api-key", "k", "--receipt-secret", "s", "--late-seconds", "nan"], "times"),
        (["--api-key", "k", "--receipt-secret", "s", "--receipt-url", "nowhere"], "--receipt-url"),
    ],
)
def test_flags_that_can_not_be_used_are_named(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANDBOX_API_KEY", raising=False)
    monkeypatch.delenv("SANDBOX_RECEIPT_SECRET", raising=False)

    with pytest.raises(SystemExit) as exit_:
        parse(flags)

    assert exit_.value.code == 2
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_secrets_come_from_the_environment_and_stay_out_of_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_API_KEY", "key-from-environment")
    monkeypatch.setenv("SANDBOX_RECEIPT_SECRET", "secret-from-environment")

    options = parse([])

    assert (options.api_key, options.receipt_secret) == ("key-from-environment", "secret-from-environment")
    assert "environment" not in repr(options)


def test_it_stands_alone() -> None:
    code = "import sendmsg.sandbox.server, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"django", "celery", "dispatch", "webhooks"} & set(run.stdout.split())
