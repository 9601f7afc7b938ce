"""What a span is before OpenTelemetry has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sendmsg.telemetry.traceparent import Place

Kind = Literal["INTERNAL", "SERVER", "CLIENT", "CONSUMER"]
Data = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time, and is over. `parent_id`: "" for the first of a trace. `failed`: why, as a code.

    `data`: ids, names, states, codes and counts; never a number that somebody can be called by, a text or a secret.
    """

    name: str
    place: Place
    parent_id: str
    began: datetime
    ended: datetime
    kind: Kind = "INTERNAL"
    data: Data = field(default_factory=dict)
    links: Sequence[Place] = ()
    failed: str = ""
