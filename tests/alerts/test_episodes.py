"""Without a Prometheus the same conditions come and go with the same troubles, and are told of once."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sendmsg.alerts.conditions import CONDITIONS
from sendmsg.alerts.episodes import Episode, Episodes
from sendmsg.alerts.looking import Past, Sample
from tests.alerts.scenarios import QUIET, SCENARIOS, Scenario

BY_NAME = {condition.name: condition for condition in CONDITIONS}


def samples(values: dict[str, float]) -> list[Sample]:
    text = "".join(f"{series} {value}\n" for series, value in values.items())
    families = text_string_to_metric_families(text)
    return [Sample(one.name, one.labels, one.value) for family in families for one in family.samples]


def play(scenario: Scenario) -> tuple[list[tuple[int, Episode]], dict[int, set[str]]]:
    """What began and ended when, and what went on at each minute."""
    condition = BY_NAME[scenario.alert]
    past, episodes = Past([condition]), Episodes([condition])
    changed: list[tuple[int, Episode]] = []
    going_on: dict[int, set[str]] = {}
    for minute, values in enumerate(scenario.minutes()):
        past.add("target", minute * 60.0, samples(values))
        changed += [(minute, one) for one in episodes.look(past, minute * 60.0)]
        going_on[minute] = {name for name, _ in episodes.going_on}
    return changed, going_on


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.alert)
def test_an_alert_begins_and_ends_once_when_its_rule_fires_and_clears(scenario: Scenario) -> None:
    changed, going_on = play(scenario)

    before, after = scenario.clear_at
    assert going_on[scenario.fires_at] == {scenario.alert}
    assert going_on[before] == going_on[after] == set()
    [(_, began), (_, ended)] = changed
    assert dict(began.labels) == dict(ended.labels) == scenario.labels
    assert (began.until, ended.since) == (None, began.since)
    assert ended.until is not None


@pytest.mark.parametrize("scenario", QUIET, ids=lambda scenario: scenario.alert)
def test_nobody_is_told_of_too_little(scenario: Scenario) -> None:
    assert play(scenario)[0] == []
