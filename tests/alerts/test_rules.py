"""Prometheus's rules are our conditions, and each comes and goes with its trouble."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from sendmsg.alerts.conditions import CONDITIONS, Condition
from sendmsg.telemetry.gauges import GAUGES
from tests.alerts.conftest import Tool
from tests.alerts.scenarios import CALM_FOR, QUIET, SCENARIOS, Scenario
from tests.docs.pages import DOCS, ROOT, Page

FOLDER = ROOT / "docker/prometheus"
RULES = FOLDER / "alerts.yml"
BY_NAME = {condition.name: condition for condition in CONDITIONS}
pytestmark = pytest.mark.timeout(700)  # where promtool has to be installed first


def test_the_rules_are_the_conditions() -> None:
    printed = io.StringIO()
    call_command("alerts", "--rules", stdout=printed)
    comment, _, rules = RULES.read_text().partition("\n")

    assert comment == "# Made of sendmsg/alerts/conditions.py: .venv/bin/python manage.py alerts --rules"
    assert rules == printed.getvalue()


def test_every_condition_has_a_scenario_of_its_own() -> None:
    assert [scenario.alert for scenario in SCENARIOS] == [condition.name for condition in CONDITIONS]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_alert_has_its_place_in_the_runbook(condition: Condition) -> None:
    path, _, anchor = condition.runbook.partition("#")

    assert anchor in Page(ROOT / path).anchors
    assert DOCS["operations"].section(condition.name).strip()


def test_prometheus_reads_its_files(promtool: Tool) -> None:
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))
    for name in ("alerts.yml", "recording.yml"):
        assert "SUCCESS" in promtool("check", "rules", str(FOLDER / name))
    configured = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert [Path(name).name for name in configured["rule_files"]] == ["alerts.yml", "recording.yml"]


def test_alertmanager_reads_its_file(amtool: Tool) -> None:
    path = ROOT / "docker/alertmanager/alertmanager.yml"

    assert "SUCCESS" in amtool("check-config", str(path))
    for severity, receiver in (("page", "page"), ("ticket", "ticket")):
        routed = amtool("config", "routes", "test", f"--config.file={path}", f"severity={severity}")
        assert routed.strip() == receiver


def test_every_alert_fires_and_clears_and_none_for_too_little(promtool: Tool, tmp_path: Path) -> None:
    tests = [_test(one, fires=True) for one in SCENARIOS] + [_test(one, fires=False) for one in QUIET]
    file = tmp_path / "alerts_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))

    assert "SUCCESS" in promtool("test", "rules", str(file))


def _test(scenario: Scenario, fires: bool) -> dict[str, Any]:
    condition = BY_NAME[scenario.alert]
    told = {
        "exp_labels": {**scenario.labels, "severity": condition.severity},
        "exp_annotations": {"summary": condition.summary, "runbook": condition.runbook},
    }
    moments = [(scenario.fires_at, [told] if fires else []), *((minute, []) for minute in scenario.clear_at)]
    return {
        "interval": "1m",
        "input_series": [
            {"series": line.series, "values": _written(line.values(scenario.lasts, scenario.after))}
            for line in scenario.lines
        ],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": scenario.alert, "exp_alerts": expected}
            for minute, expected in moments
        ],
    }


def _written(values: list[float | None]) -> str:
    """As promtool reads it; what is not there any more is marked so, as a scrape without it would."""
    words = ["stale" if value is None else f"{value:g}" for value in values]
    return " ".join(words)


def test_a_scenario_begins_well() -> None:
    assert all(scenario.clear_at[0] < CALM_FOR <= scenario.fires_at for scenario in SCENARIOS)


def test_the_recording_rules_are_named_by_what_they_are() -> None:
    groups = yaml.safe_load((FOLDER / "recording.yml").read_text())["groups"]
    names = [rule["record"] for group in groups for rule in group["rules"]]

    assert names
    assert all(re.fullmatch(r"sendmsg:[a-z_]+:[a-z0-9_]+", name) for name in names)
    assert not GAUGES.keys() & set(names)
