"""`/metrics`: for those who may, of one process or of all, and by bounded labels."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tests.cast import Member

ROOT = Path(__file__).resolve().parents[2]


def scraped(client: Client, **headers: str) -> dict[str, float]:
    """The samples without labels or with them, by name and label values."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def requests(route: str, method: str, status: int) -> float:
    labels = {"route": route, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("sendmsg_http_request_seconds_count", labels) or 0.0


def test_metrics_are_what_prometheus_reads(client: Client) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert b"# TYPE sendmsg_messages_accepted_total counter" in answer.content
    assert b"# TYPE sendmsg_pump_step_seconds histogram" in answer.content


@pytest.mark.parametrize("given", [None, "", "a-token", "Bearer", "Bearer x", "Bearer a-token ", "Bearer é", "Basic x"])
def test_with_a_token_set_nothing_else_gets_in(client: Client, settings: Any, given: str | None) -> None:
    settings.METRICS_TOKEN = "a-token"
    headers = {} if given is None else {"Authorization": given}

    answer = client.get("/metrics", headers=headers)

    assert answer.status_code == 401
    assert b"sendmsg_" not in answer.content


def test_the_token_gets_in(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "a-token"

    assert scraped(client, Authorization="Bearer a-token")


COUNT = "from sendmsg.telemetry import metrics; metrics.ACCEPTED.labels('sms', 'live').inc({})"


def test_processes_that_share_a_folder_are_served_as_one(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT.format(count)], cwd=ROOT, env=environment) for count in (3, 4)
    ]
    assert [process.wait(30) for process in processes] == [0, 0]

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert scraped(client)["sendmsg_messages_accepted_total,sms,live"] == 7


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/healthz", ("healthz", "GET", 200)),
        ("GET", "/nowhere", ("other", "GET", 404)),
        ("GET", "/v1/nowhere", ("other", "GET", 404)),
        ("BREW", "/healthz", ("healthz", "OTHER", 200)),
    ],
)
def test_requests_are_counted_by_route_and_known_methods(
    client: Client, method: str, path: str, labels: tuple[str, str, int]
) -> None:
    before = requests(*labels)

    client.generic(method, path)

    assert requests(*labels) == before + 1


@pytest.mark.django_db(databases=["default", "logs"])
def test_no_id_becomes_a_label(client: Client, alice: Member) -> None:
    route = "v1/messages/<uuid:message_id>"
    before = requests(route, "GET", 404)

    client.get("/v1/messages/0199a2d4-7c6e-7c41-9d0a-5b8e2f6a1c34", headers=alice.headers)

    assert requests(route, "GET", 404) == before + 1
    assert not any("0199a2d4" in name for name in scraped(client))
