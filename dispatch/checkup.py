"""Tries connections for real without sending anything: is it complete, can it be reached, are its credentials taken?

One request to the base URL, whose answer may be anything: name, TCP and TLS came about. Then, where the provider can be
asked about a message, a question about one that does not exist: an answer of 401 or 403 means that the credentials are
refused. Each request is bounded by the settings' timeouts.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from dispatch.directory import Entry
from dispatch.providers.base import HttpProvider
from sendmsg.errors import CallFailed, ConfigurationError, OutcomeUnknown
from sendmsg.http import HttpClient, Response, build_session

AT_ONCE: Final = 16  # connections
NO_MESSAGE: Final = str(UUID(int=0))
REFUSED: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found. `detail`: for people, without secrets."""

    name: str
    ok: bool
    detail: str


def check(entries: Sequence[Entry]) -> list[Checkup]:
    """Each connection's, in their order; side by side."""
    with ThreadPoolExecutor(min(AT_ONCE, len(entries) or 1), thread_name_prefix="check") as pool:
        return list(pool.map(_check, entries))


def _check(entry: Entry) -> Checkup:
    started = time.monotonic()
    try:
        if entry.fault:
            raise ConfigurationError(entry.fault)
        detail = f"{_reached(entry)}, {_asked(entry)}"
    except ConfigurationError as error:
        return Checkup(entry.name, False, f"can't work: {error.detail}")
    except CallFailed as error:
        return Checkup(entry.name, False, f"not reached: {error.code}, {error.detail}")
    except _CredentialsRefused as error:
        return Checkup(entry.name, False, str(error))
    return Checkup(entry.name, True, f"{detail} ({time.monotonic() - started:.2f} s)")


class _CredentialsRefused(Exception):
    pass


def _reached(entry: Entry) -> str:
    client = build_session(
        connect_timeout=settings.CONNECT_TIMEOUT,
        read_timeout=settings.READ_TIMEOUT,
        total_timeout=settings.TOTAL_TIMEOUT,
        pool_size=1,
    )
    with client:
        try:
            return f"reached: HTTP {client.request('GET', entry.base_url).status}"
        except OutcomeUnknown as error:
            if error.status is None:
                raise
            return f"reached: HTTP {error.status}"


class _Listening:
    """A provider's HTTP client, with an ear on the status of the last answer."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.status: int | None = None

    def request(self, *args: Any, **kwargs: Any) -> Response:
        try:
            answer = self._client.request(*args, **kwargs)
        except OutcomeUnknown as error:
            self.status = error.status
            raise
        self.status = answer.status
        return answer

    def close(self) -> None:
        self._client.close()


def _asked(entry: Entry) -> str:
    """What became of the question, if it can be asked; it raises where the answer is that we are not let in."""
    provider = entry.build()
    try:
        if not provider.capabilities.fetches_status or not isinstance(provider, HttpProvider):
            return "credentials not tried: it can't be asked anything"
        ear: Any = _Listening(provider.http)
        provider.http = ear
        provider.fetch_status(NO_MESSAGE)
    finally:
        provider.close()
    if ear.status in REFUSED:
        raise _CredentialsRefused(f"credentials refused: HTTP {ear.status}")
    if ear.status is None or ear.status >= 500:
        raise _CredentialsRefused(f"it can't answer questions now: HTTP {ear.status}")
    return "credentials taken"
