"""Connections to the broker for processes that publish or fetch by themselves, outside of Celery's workers.

Every wait on them is bounded, reading included: a broker that is blocked or frozen answers nothing, not even a close.
(A worker's connection must not have a read timeout: it would end its idle consumers.)
"""

import contextlib

from django.conf import settings
from kombu import Connection

from sendmsg.celery import app

READ_TIMEOUT = 5  # seconds for the broker's answer to a declare, a get or a close
CONNECT_TIMEOUT = 3  # seconds in all, including a second try


def connect() -> Connection:
    """A new connection; raises `kombu.exceptions.OperationalError` when there is none to be had."""
    options = {"read_timeout": READ_TIMEOUT} if settings.BROKER_IS_RABBITMQ else {}
    connection = app.connection_for_write(transport_options=options)
    connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT)
    return connection


def drop(connection: Connection) -> None:
    """Let go of a connection without a word to the broker: saying goodbye waits for an answer."""
    with contextlib.suppress(OSError, AttributeError):  # what collecting a half-open connection may raise
        connection.collect()
