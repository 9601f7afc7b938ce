"""What Celery stores: failures, in the logs database, and never in the way of sending."""

import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from celery import states
from celery.app.task import Context
from django.utils import timezone
from django_celery_results.models import TaskResult

from sendmsg.celery import app
from sendmsg.logs import results
from sendmsg.logs.results import FailureBackend
from tests.outages import database_away

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


@pytest.fixture
def backend() -> FailureBackend:
    return FailureBackend(app)


def test_it_is_the_backend_of_the_application() -> None:
    assert isinstance(app.backend, FailureBackend)


def test_a_failure_is_stored_in_the_logs_database(backend: FailureBackend) -> None:
    backend.mark_as_failure(str(uuid4()), ValueError("no such queue"), "the traceback", request=Context(task="deliver"))

    result = TaskResult.objects.using("logs").get()
    assert result.status == "FAILURE"
    assert "no such queue" in (result.result or "")


@pytest.mark.parametrize("state", sorted(states.ALL_STATES - {states.FAILURE}))
def test_nothing_else_is_stored(backend: FailureBackend, state: str) -> None:
    assert backend.store_result(str(uuid4()), None, state) is None

    assert not TaskResult.objects.exists()


def test_the_same_failure_twice_is_one_row(backend: FailureBackend) -> None:
    task = str(uuid4())
    for _ in range(2):
        backend.store_result(task, ValueError("again"), "FAILURE")

    assert TaskResult.objects.count() == 1


@pytest.mark.django_db(databases=["default", "logs"], transaction=True)
def test_without_the_logs_database_a_failure_is_a_line_in_the_log(
    backend: FailureBackend, caplog: pytest.LogCaptureFixture
) -> None:
    task = str(uuid4())

    with database_away("logs"), caplog.at_level(logging.ERROR):
        backend.mark_as_failure(task, ValueError("private"), "the traceback", request=Context(task="deliver"))

    [line] = caplog.text.splitlines()
    assert line.endswith(f"task failure not stored task={task} reason=OperationalError")
    backend.mark_as_failure(task, ValueError("private"), "the traceback")
    assert TaskResult.objects.count() == 1


def test_failures_are_deleted_when_their_time_is_over(backend: FailureBackend) -> None:
    old, young = (TaskResult.objects.create(task_id=str(uuid4()), status="FAILURE") for _ in range(2))
    TaskResult.objects.filter(pk=old.pk).update(date_done=timezone.now() - timedelta(days=31))

    assert results.purge() == 1

    assert TaskResult.objects.get() == young
