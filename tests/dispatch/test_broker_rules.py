"""Rules that hold for the whole code, read off its syntax: nothing waits in the broker, nothing declares loosely."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch import topology
from sendmsg.celery import app

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(path for folder in ("sendmsg", "dispatch", "webhooks") for path in (ROOT / folder).rglob("*.py"))


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_asks_celery_to_wait(path: Path) -> None:
    for call in calls(path):
        asked = {keyword.arg for keyword in call.keywords} & {"countdown", "eta", "retry_backoff", "autoretry_for"}
        assert not asked, f"{path}:{call.lineno}"
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        assert name not in {"delay", "retry", "apply_async_on_commit"} or "backoff" in ast.dump(call.func), path


def test_tasks_are_only_published_with_a_bounded_wait_for_the_confirm() -> None:
    found = [
        call
        for path in SOURCES
        for call in calls(path)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "apply_async"
    ]

    assert found
    for call in found:
        assert {"confirm_timeout", "argsrepr", "kwargsrepr", "queue"} <= {keyword.arg for keyword in call.keywords}


def test_a_publish_is_confirmed_and_every_wait_for_the_broker_is_bounded() -> None:
    options = app.conf.broker_transport_options

    assert options["confirm_publish"] is True
    assert options["write_timeout"] <= 5
    assert "read_timeout" not in options  # it would also end idle consumers
    assert app.conf.broker_connection_timeout <= 2
    assert app.conf.broker_pool_acquire_timeout <= 2
    assert app.conf.broker_connection_max_retries is None


def test_a_task_is_acknowledged_after_its_work_and_never_when_it_failed() -> None:
    assert app.conf.task_acks_late is True
    assert app.conf.task_acks_on_failure is False
    assert app.conf.task_reject_on_worker_lost is True
    assert app.conf.task_create_missing_queues is False


def test_failures_are_kept_and_results_are_not() -> None:
    assert app.conf.task_ignore_result is True
    assert app.conf.task_store_errors_even_if_ignored is True


def test_a_deliver_queue_is_a_quorum_queue_that_loses_nothing() -> None:
    queue = topology.deliver_queue("sendmsg")

    assert (queue.name, queue.routing_key, queue.exchange.name, queue.durable) == (
        "deliver.sendmsg",
        "deliver.sendmsg",
        "deliver",
        True,
    )
    # At-least-once dead-lettering silently becomes at-most-once without reject-publish or without an exchange.
    arguments = queue.queue_arguments or {}
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-dead-letter-exchange"] == topology.DEAD_QUEUE.exchange.name
    assert arguments["x-delivery-limit"] > 1


def test_the_dead_queue_is_not_consumed_by_workers() -> None:
    assert topology.DEAD_QUEUE.name not in app.amqp.queues
