"""The one message that `make run` sends: by the API and real HTTP, as a client's program would, and its timeline."""

import http.client
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sendmsg.embedded.process import HOST
from sendmsg.errors import StartFailed

TO = "+447700900000"  # of the range that Ofcom keeps for fiction; ends with 00: delivered at once
BODY = "Hello from SendMSG"
TIMEOUT = 20.0  # seconds for one answer
ENDED = frozenset({"delivered", "undelivered", "failed", "expired", "canceled", "unknown"})


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline: milliseconds since the message was accepted, and since the step before."""

    type: str
    total: float
    own: float
    about: str


@dataclass(frozen=True, slots=True)
class Client:
    """The API as one key sees it."""

    port: int
    key: str = field(repr=False)

    def send(self) -> str:
        """Send the sample; returns its id."""
        document = {"to": TO, "body": BODY}
        answer = self._ask("POST", "/v1/messages", document, {"Idempotency-Key": secrets.token_hex(16)})
        return str(answer["id"])

    def status(self, message: str) -> str:
        return str(self._ask("GET", f"/v1/messages/{message}")["status"])

    def timeline(self, message: str) -> list[Step]:
        """What is known so far; the log writer is a moment behind."""
        events = self._ask("GET", f"/v1/messages/{message}/events")["results"]
        times = [datetime.fromisoformat(event["at"]).timestamp() * 1000 for event in events]
        return [
            Step(event["type"], time - times[0], time - before, _about(event["data"]))
            for event, time, before in zip(events, times, [*times[:1], *times], strict=False)
        ]

    def _ask(
        self, method: str, path: str, document: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        body = None if document is None else json.dumps(document)
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise StartFailed(f"{method} {path} brought no answer ({type(error).__name__})") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise StartFailed(f"{method} {path} was answered with {response.status}: {text[:500]}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def _about(data: Mapping[str, Any]) -> str:
    """The data of an event in words. When the provider says it happened is not of our clock, and left out."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in data.items() if name != "at")


def deliver(client: Client, wait_for: Callable[[Callable[[], bool]], bool]) -> list[Step]:
    """Send the sample, wait for its end by `wait_for`, and return its timeline.

    Raises `StartFailed` when it ends otherwise than delivered, or `wait_for` gave up.
    """
    message = client.send()
    status = "queued"

    def has_ended() -> bool:
        nonlocal status
        status = client.status(message)
        return status in ENDED

    wait_for(has_ended)
    if status != "delivered":
        raise StartFailed(f"the sample message {message} is {status} instead of delivered")

    steps: list[Step] = []

    def is_told() -> bool:
        nonlocal steps
        steps = client.timeline(message)
        return any(step.type == "delivered" for step in steps)

    if not wait_for(is_told):
        raise StartFailed(f"the sample message {message} was delivered, but the logs database never heard of it")
    return steps
