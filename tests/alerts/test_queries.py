"""Dashboards, recording rules and alerts ask for nothing that the code doesn't export."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from sendmsg.alerts.conditions import rules
from tests.alerts.conftest import Tool
from tests.alerts.exported import complaints, exported, recorded, recording_rules
from tests.docs.pages import ROOT

FOLDER = ROOT / "docker/grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
KNOWN = exported() | recorded()
LEGEND = re.compile(r"\{\{(\w+)\}\}")
every_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def targets(path: Path) -> Iterator[dict[str, Any]]:
    for panel in panels(path):
        yield from panel.get("targets", ())


def plain(query: str) -> str:
    """A query with Grafana's variables filled in."""
    return query.replace("$__rate_interval", "5m").replace("$connection", ".*")


@every_dashboard
def test_every_query_asks_for_metrics_and_labels_that_are_exported(path: Path) -> None:
    queries = [target["expr"] for target in targets(path)]
    variables = json.loads(path.read_text())["templating"]["list"]

    assert queries
    assert [complaint for query in queries for complaint in complaints(query, KNOWN)] == []
    for variable in variables:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert label in KNOWN[name]


@every_dashboard
def test_every_legend_names_labels_that_the_query_keeps(path: Path) -> None:
    for target in targets(path):
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        name = re.match(r"[\w:]+", target["expr"])
        kept |= KNOWN.get(name[0], set()) if name else set()
        assert set(LEGEND.findall(target["legendFormat"])) <= kept, target


@every_dashboard
def test_prometheus_can_read_every_query(path: Path, promtool: Tool, tmp_path: Path) -> None:
    read = [{"record": f"query:{number}", "expr": plain(one["expr"])} for number, one in enumerate(targets(path))]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": read}]}))

    assert f"{len(read)} rules found" in promtool("check", "rules", "--lint=none", str(file))


@every_dashboard
def test_every_panel_has_a_place_of_its_own_and_the_source_that_is_provided(path: Path) -> None:
    [source] = yaml.safe_load((FOLDER / "datasources/prometheus.yml").read_text())["datasources"]
    found = panels(path)

    assert max(Counter(panel["id"] for panel in found).values()) == 1
    assert {target["datasource"]["uid"] for target in targets(path)} == {source["uid"]}
    assert all(panel["title"] for panel in found)
    places = [panel["gridPos"] for panel in found]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not any(overlap(first, second) for first, second in combinations(places, 2))


def overlap(first: dict[str, int], second: dict[str, int]) -> bool:
    return all(
        first[at] < second[at] + second[length] and second[at] < first[at] + first[length]
        for at, length in (("x", "w"), ("y", "h"))
    )


def test_every_dashboard_is_found_by_its_own_name() -> None:
    [provider] = yaml.safe_load((FOLDER / "dashboards/sendmsg.yml").read_text())["providers"]
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]

    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards) > 0


def test_every_metric_is_on_a_dashboard() -> None:
    shown = " ".join(target["expr"] for path in DASHBOARDS for target in targets(path))
    shown += " ".join(rule["expr"] for rule in recording_rules())

    for name in exported():
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert family in shown, name


def test_every_rule_asks_for_what_is_exported() -> None:
    queries = [rule["expr"] for rule in recording_rules()]
    queries += [rule["expr"] for group in rules()["groups"] for rule in group["rules"]]

    assert [complaint for query in queries for complaint in complaints(query, exported())] == []


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sum(rate(sendmsg_nothing_total[5m]))", "no metric sendmsg_nothing_total"),
        ("sum(rate(sendmsg_send_seconds[5m]))", "no metric sendmsg_send_seconds"),
        ('max(sendmsg_breaker_state{state="open"})', "sendmsg_breaker_state has no label state"),
        ("max by (account) (sendmsg_breaker_state)", "has the label account"),
    ],
)
def test_a_query_for_what_is_not_there_is_found_out(query: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(query, KNOWN))
