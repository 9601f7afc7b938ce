"""One line an event, as text or as JSON. A line break in a value can't forge a second event.

Promises, whoever logs: what looks like a phone number is masked, and of a database's error only the first line is
shown, because those after it quote the row. Ours log ids, names and codes, and `key=%s` in a text is a field in JSON.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from django.db import Error

from sendmsg.api.request_id import current_request_id
from sendmsg.telemetry.traces import current_trace_id

NUMBER: Final = re.compile(r"(?<![\w-])\+?[0-9]{9,15}(?![\w-])")  # digits inside of an id are no number
_PLACEHOLDER: Final = re.compile(r"%[-#0-9.]*[a-z]")
_PAIR: Final = re.compile(r"(\w+)=%[-#0-9.]*[a-z]")

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def mask(text: str) -> str:
    """With only the beginning and the end of phone numbers."""
    return NUMBER.sub(lambda found: f"{found[0][:3]}****{found[0][-2:]}", text)


class _Formatter(logging.Formatter):
    def formatException(self, ei: Raised) -> str:  # noqa: N802  # logging's name
        text = super().formatException(ei)
        for error in _chain(ei[1]):
            if isinstance(error, Error) or isinstance(error.__cause__, Error) or _is_of_driver(error):
                said = str(error)
                text = text.replace(said, said.partition("\n")[0]) if "\n" in said else text
        return text


class LineFormatter(_Formatter):
    """Formats records as single lines; a traceback follows, indented, so that every event still starts a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).splitlines() or [""]
        suffix = "".join(f" {name}={value}" for name, value in _context().items())
        return mask("\n    ".join([first + suffix, *rest]))


class JsonFormatter(_Formatter):
    """Formats records as JSON objects: time (UTC), level, logger, event, its fields, and where it belongs."""

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _parts(record)
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": event,
        }
        document = {**document, **{name: value for name, value in fields.items() if name not in document}, **_context()}
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: _shown(value) for name, value in document.items()})


def _shown(value: object) -> object:
    return value if isinstance(value, float | int) else mask(str(value))


def _context() -> dict[str, str]:
    """Of the request that this thread serves."""
    found = {"request_id": current_request_id(), "trace_id": current_trace_id()}
    return {name: value for name, value in found.items() if value}


def _parts(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """The event and its fields, where every value of the text has a name; else the whole text."""
    template, values = str(record.msg), record.args
    pairs, count = list(_PAIR.finditer(template)), len(_PLACEHOLDER.findall(template))
    if not pairs or not isinstance(values, tuple) or not len(pairs) == len(values) == count:
        return record.getMessage(), {}
    return template[: pairs[0].start()].strip(), {pair[1]: value for pair, value in zip(pairs, values, strict=True)}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_driver(error: BaseException) -> bool:
    return type(error).__module__.startswith("psycopg2")
