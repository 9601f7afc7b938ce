"""Calls a WSGI application as a server would: no test client of Django's stands between."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.test import RequestFactory

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


def call(application: Application, path: str, body: bytes, headers: Mapping[str, str], **environ: Any) -> Answer:
    """POST JSON."""
    request = RequestFactory().generic("POST", path, body, "application/json", headers=dict(headers))
    told: list[Any] = []
    content = b"".join(application({**request.environ, **environ}, lambda *answer: told.extend(answer)))
    return Answer(int(told[0].split()[0]), dict(told[1]), content)
