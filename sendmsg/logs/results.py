"""Celery's result backend: failures only, in the logs database, and never in the way of sending.

`task_store_errors_even_if_ignored` stores RETRY as well as FAILURE; only the latter is kept. A logs database that is
away must not turn a task's failure into a crash of its acknowledgement, so its errors end in the process's log.
"""

from typing import Any

import structlog
from django.conf import settings
from django.db import Error
from django.utils import timezone
from django_celery_results.backends.database import DatabaseBackend
from django_celery_results.models import TaskResult

logger = structlog.stdlib.get_logger(__name__)


class FailureBackend(DatabaseBackend):  # type: ignore[misc]  # the package is untyped
    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        if state != "FAILURE":
            return result
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)
        except Error as error:
            logger.error("task failure not stored", task=task_id, reason=type(error).__name__)
            return result


def purge() -> int:
    """Delete failures older than CELERY_RESULT_EXPIRES: Celery leaves that to a scheduler, and there is none here."""
    return TaskResult.objects.filter(date_done__lt=timezone.now() - settings.CELERY_RESULT_EXPIRES).delete()[0]
