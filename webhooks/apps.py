from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from webhooks import checks, retention  # noqa: F401, PLC0415  register what needs loaded apps

        post_migrate.connect(_ensure_roles, sender=self)  # the last app: all permissions are there


def _ensure_roles(using: str, **kwargs: Any) -> None:
    from sendmsg.accounts import roles  # noqa: PLC0415  needs loaded apps

    roles.ensure(using)
