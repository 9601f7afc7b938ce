"""System checks say what only makes sense as a whole, under ids that stay."""

from typing import Any

import pytest
from django.core.checks import registry

from sendmsg import checks


@pytest.mark.parametrize(("token", "ids"), [("", ["sendmsg.W001"]), ("a-token", [])])
def test_open_metrics_are_worth_a_warning(settings: Any, token: str, ids: list[str]) -> None:
    settings.METRICS_TOKEN = token

    assert [message.id for message in checks.metrics_are_guarded(None)] == ids


@pytest.mark.parametrize(("rabbitmq", "ids"), [(False, ["sendmsg.W002"]), (True, [])])
def test_a_broker_without_confirms_is_worth_a_warning(settings: Any, rabbitmq: bool, ids: list[str]) -> None:
    settings.BROKER_IS_RABBITMQ = rabbitmq

    assert [message.id for message in checks.broker_is_rabbitmq(None)] == ids


@pytest.mark.parametrize("name", ["CALLBACKS_ALLOW_HTTP", "CALLBACKS_ALLOW_PRIVATE"])
def test_callbacks_into_our_own_network_are_worth_a_warning(settings: Any, name: str) -> None:
    assert checks.callbacks_stay_outside(None) == []

    setattr(settings, name, True)

    [message] = checks.callbacks_stay_outside(None)
    assert (message.id, message.msg) == ("sendmsg.W003", f"{name} is on.")


def test_they_run_before_a_deployment_and_not_at_every_start() -> None:
    deployment = set(registry.registry.deployment_checks)
    always = set(registry.registry.registered_checks)

    ours = {checks.metrics_are_guarded, checks.broker_is_rabbitmq, checks.callbacks_stay_outside}
    assert ours <= deployment - always
