"""An alert is told of once when it begins and once when it ends, by every way that works, and after a restart too."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from sendmsg.alerts import pump
from sendmsg.alerts.conditions import CONDITIONS
from sendmsg.alerts.pump import Alerts
from tests.servers.given import GivenRedis

WELL = 'sendmsg_measured_at_seconds 1\nsendmsg_breaker_state{connection="main"} 0\n'
WRONG = "sendmsg_measured_at_seconds 1\nsendmsg_relay_lag_seconds 60\n"


class Host(BaseHTTPRequestHandler):
    """What is looked at, and who is told: `/metrics` says `text`, a POST is kept and answered with `status`."""

    text = WELL
    status = 200
    posts: list[dict[str, Any]]
    asked: list[str | None]

    def do_GET(self) -> None:
        type(self).asked.append(self.headers["Authorization"])
        self._answer(200, type(self).text.encode())

    def do_POST(self) -> None:
        type(self).posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(type(self).status, b"")

    def log_message(self, *args: Any) -> None: ...

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def host(settings: Settings, clean_redis: GivenRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Host]]:
    kind = type("Fresh", (Host,), {"posts": [], "asked": []})
    at_once = [
        replace(one, lasts=0.0) for one in CONDITIONS if one.name in ("SendMSGRelayLagging", "SendMSGProcessDown")
    ]
    monkeypatch.setattr(pump, "CONDITIONS", at_once)
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        settings.ALERTS_TARGETS, settings.ALERTS_WEBHOOK_URL = [f"{url}/metrics"], f"{url}/told"
        yield kind
        server.shutdown()


def told(host: type[Host]) -> list[tuple[str, str]]:
    return [(one["status"], one["labels"]["alertname"]) for post in host.posts for one in post["alerts"]]


def test_an_alert_is_told_of_when_it_begins_and_when_it_ends(host: type[Host]) -> None:
    alerts = Alerts()
    for text in (WELL, WRONG, WRONG, WELL, WELL):
        host.text = text
        assert alerts.step() == 0

    assert told(host) == [("firing", "SendMSGRelayLagging"), ("resolved", "SendMSGRelayLagging")]
    began, ended = (post["alerts"][0] for post in host.posts)
    assert began["labels"]["severity"] == "page"
    assert began["annotations"]["runbook"] == "docs/operations.md#sendmsgrelaylagging"
    assert began["endsAt"].startswith("0001-")
    assert began["startsAt"] == ended["startsAt"] <= ended["endsAt"]
    assert "SendMSGRelayLagging" in host.posts[0]["text"]


def test_a_restart_tells_nothing_twice_and_keeps_no_end_to_itself(host: type[Host]) -> None:
    host.text = WRONG
    Alerts().step()

    restarted = Alerts()
    restarted.step()
    assert told(host) == [("firing", "SendMSGRelayLagging")]

    host.text = WELL
    restarted.step()
    Alerts().step()
    assert told(host)[1:] == [("resolved", "SendMSGRelayLagging")]


def test_what_could_not_be_told_is_told_later_by_the_way_that_failed(
    host: type[Host], settings: Settings, mailoutbox: list[Any]
) -> None:
    settings.ALERTS_MAIL_TO = ["operator@sendmsg.example"]
    host.text, host.status = WRONG, 500
    alerts = Alerts()
    alerts.step()
    host.status = 200
    alerts.step()
    alerts.step()

    Alerts().step()  # a restart

    assert told(host) == [("firing", "SendMSGRelayLagging")] * 2  # refused, and taken
    [mail] = mailoutbox
    assert mail.to == ["operator@sendmsg.example"]
    assert mail.subject.startswith("SendMSG: page: SendMSGRelayLagging value=60")
    assert "docs/operations.md#sendmsgrelaylagging" in mail.body


def test_a_process_that_can_not_be_read_is_an_alert(host: type[Host], settings: Settings) -> None:
    settings.ALERTS_TARGETS = [*settings.ALERTS_TARGETS, "http://127.0.0.1:1/metrics"]

    Alerts().step()

    [post] = host.posts
    assert post["alerts"][0]["labels"] == {
        "alertname": "SendMSGProcessDown",
        "severity": "page",
        "instance": "127.0.0.1:1",
    }


def test_the_token_is_shown_to_who_is_looked_at(host: type[Host], settings: Settings) -> None:
    settings.METRICS_TOKEN = "a-token"

    Alerts().step()

    assert host.asked == ["Bearer a-token"]


def test_looking_once_prints_what_holds_and_exits_with_it(host: type[Host], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("alerts", "--once", "--seconds", "0")
    assert capsys.readouterr().out == "nothing is wrong\n"

    host.text = WRONG
    with pytest.raises(SystemExit) as ended:
        call_command("alerts", "--once", "--seconds", "0")

    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith("page: SendMSGRelayLagging value=60 ")
    assert host.posts == []
    with pytest.raises(CommandError, match="0 to 3600"):
        call_command("alerts", "--once", "--seconds", "-1")
