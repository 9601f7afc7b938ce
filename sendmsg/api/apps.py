"""Django app `api`: its only table keeps the answers to idempotent requests, in the default database."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """What every endpoint shares."""

    name = "sendmsg.api"
    label = "api"
    verbose_name = "API"
