"""What other apps have to do with retention. Imports go one way, so they come here (in `ready`) and are not fetched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that belong to a message: archived with it, and deleted before it. `name`: their key in its line."""

    name: str
    read: Callable[[Sequence[UUID]], Mapping[UUID, list[dict[str, Any]]]]
    delete: Callable[[Sequence[UUID]], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Deletes a batch of what is over, in a transaction of its own; how many rows that were."""

    kind: str
    step: Callable[[datetime], int]


@dataclass(frozen=True, slots=True)
class Eraser:
    """Takes a number out of rows, in batches that are committed one by one; how many rows held it. Can be repeated."""

    kind: str
    erase: Callable[[str], int]


RELATIONS: list[Relation] = []
SWEEPS: list[Sweep] = []
ERASERS: list[Eraser] = []
