"""Which database a model lives in: the logs and Celery's failures in `logs`, all else in `default`.

No relation crosses the two, and a migration runs only where its tables belong.
"""

from typing import Any

from django.db.models import Model

LOGS = "logs"
LOGS_APPS = frozenset({"logs", "django_celery_results"})


class LogsRouter:
    """Reads and writes of one app go to one database: django-celery-results reads through the write alias."""

    def _alias(self, app_label: str) -> str:
        return LOGS if app_label in LOGS_APPS else "default"

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self._alias(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return self._alias(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return self._alias(one._meta.app_label) == self._alias(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == self._alias(app_label)
