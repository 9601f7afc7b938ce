"""System checks of what only makes sense as a whole; `manage.py check --deploy` runs those marked so.

sendmsg.E001  a connection names a provider that has no adapter
sendmsg.E002  a connection's credentials lack what its provider needs
sendmsg.W001  /metrics is open to everybody
sendmsg.W002  the broker is Redis, which has no confirms and no dead-letter exchange
sendmsg.W003  clients may have private addresses called, or callbacks sent in clear
sendmsg.W004  texts are written to the database in clear
sendmsg.E003  no key of CREDENTIALS_KEYS opens the key of texts: nothing can be accepted, and nothing sent
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import Error

from sendmsg.errors import ConfigurationError
from sendmsg.sealing import keys


@checks.register(deploy=True)
def metrics_are_guarded(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.METRICS_TOKEN:
        return []
    return [checks.Warning("/metrics is open to everybody.", hint="Set METRICS_TOKEN.", id="sendmsg.W001")]


@checks.register(deploy=True)
def broker_is_rabbitmq(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.BROKER_IS_RABBITMQ:
        return []
    hint = "Set BROKER_URL to amqp://…; redis:// is for the embedded mode."
    return [checks.Warning("The broker has no publisher confirms.", hint=hint, id="sendmsg.W002")]


@checks.register(deploy=True)
def callbacks_stay_outside(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    on = [name for name in ("CALLBACKS_ALLOW_HTTP", "CALLBACKS_ALLOW_PRIVATE") if getattr(settings, name)]
    hint = "Only where every client may reach this host's network."
    return [checks.Warning(f"{name} is on.", hint=hint, id="sendmsg.W003") for name in on]


@checks.register(deploy=True)
def texts_are_encrypted(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Silent without the database: a deployment is also checked where there is none."""
    try:
        key = keys.current()
    except Error:
        return []
    except ConfigurationError as error:
        hint = "Add the Fernet key that it was encrypted with."
        return [checks.Error(f"{error}.", hint=hint, id="sendmsg.E003")]
    if key is not None:
        return []
    hint = "Once every process runs this version: manage.py texts new-key --all-upgraded, then manage.py texts encrypt."
    return [checks.Warning("Texts are written to the database in clear.", hint=hint, id="sendmsg.W004")]
