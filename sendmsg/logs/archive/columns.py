"""What the lines of the archive are made of, for formats that want to know: declared where lines are made."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

LEVELS: Final = {"gzip": 6, "zstd": 10}
"""By compression. Beyond these a day takes twice as long for a twentieth of its size."""


class Column(StrEnum):
    """What a member of a line is."""

    TEXT = "text"
    NUMBER = "number"  # whole
    FLAG = "flag"
    TIME = "time"  # to the microsecond, UTC
    JSON = "json"


Columns = Mapping[str, Column]
