"""What queries may ask for: the metrics that the code exports with their labels, and the rules that are recorded."""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from sendmsg.telemetry import metrics
from sendmsg.telemetry.gauges import GAUGES
from tests.docs.pages import ROOT

RECORDING = ROOT / "docker/prometheus/recording.yml"
OF_PROMETHEUS = {"up": {"job", "instance"}}
SUFFIXES: dict[str, dict[str, set[str]]] = {
    "counter": {"_total": set()},
    "histogram": {"_bucket": {"le"}, "_count": set(), "_sum": set()},
}
SELECTOR = re.compile(r"\b((?:sendmsg[_:]|up\b)[\w:]*)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|without|on) \(([^)]*)\)")


def exported() -> dict[str, set[str]]:
    """Names of series, and their labels."""
    found = {gauge.name: set(gauge.labels) for gauge in GAUGES.values()} | OF_PROMETHEUS
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix, more in SUFFIXES[str(metric._type)].items():
                found[metric._name + suffix] = set(metric._labelnames) | more
    return found


def recorded() -> dict[str, set[str]]:
    return {rule["record"]: _left_by(rule["expr"]) for rule in recording_rules()}


def recording_rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RECORDING.read_text())["groups"]:
        yield from group["rules"]


def complaints(query: str, known: dict[str, set[str]]) -> list[str]:
    """What a query asks for that does not exist."""
    found: list[str] = []
    labels: set[str] = set()
    for name, matchers in SELECTOR.findall(query):
        if name not in known:
            found.append(f"no metric {name}")
            continue
        labels |= known[name]
        found += [f"{name} has no label {label}" for label in MATCHER.findall(matchers) if label not in known[name]]
    grouped = {label.strip() for names in GROUPING.findall(query) for label in names.split(",")}
    return found + [f"nothing in {query!r} has the label {label}" for label in sorted(grouped - labels)]


def _left_by(query: str) -> set[str]:
    """The labels that a query groups by; a quantile takes the bounds."""
    return {label.strip() for names in GROUPING.findall(query) for label in names.split(",")} - {"le"}
