"""One line an event, as text or as JSON, by structlog. A line break in a value can't forge a second event.

Promises, whoever logs, we or a library: what looks like a phone number is masked, and of a database's error only the
first line is shown, because those after it quote the row. Ours log ids, names and codes, each as a field.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import structlog
from django.db import Error
from structlog.contextvars import bound_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from sendmsg.telemetry.traces import current_trace_id

NUMBER: Final = re.compile(r"(?<![\w-])\+?[0-9]{9,15}(?![\w-])")  # digits inside of an id are no number
_FIRST: Final = ("time", "level", "logger", "event")
_PLAIN: Final = re.compile(r"[^\s\"=]+")
"""A value that needs no quotes in a line."""


def mask(text: str) -> str:
    """With only the beginning and the end of phone numbers."""
    return NUMBER.sub(lambda found: f"{found[0][:3]}****{found[0][-2:]}", text)


def belonging(**ids: object) -> AbstractContextManager[None]:
    """Within it every line of this thread has these fields, whoever writes it; None and "" are left out."""
    return bound_contextvars(**{name: value for name, value in ids.items() if value not in (None, "")})


def lines() -> logging.Formatter:
    """`time level logger event name=value …`; a traceback follows, indented, so that every event starts a line."""
    return _formatter(_as_line)


def documents() -> logging.Formatter:
    """JSON objects: time (UTC), level, logger, event, its fields, and what it belongs to."""
    return _formatter(structlog.processors.JSONRenderer())


def _formatter(renderer: Processor) -> logging.Formatter:
    return ProcessorFormatter(
        foreign_pre_chain=_GATHERED,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_traceback),
            _masked,
            renderer,
        ],
    )


def _of_trace(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    if trace_id := current_trace_id():
        event["trace_id"] = trace_id
    return event


def _masked(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """In the order that a reader looks for; anything but a number is text."""
    return {key: _shown(event[key]) for key in (*_FIRST, *(key for key in event if key not in _FIRST))}


def _shown(value: object) -> object:
    return value if isinstance(value, float | int) else mask(str(value))


def _as_line(logger: WrappedLogger, name: str, event: EventDict) -> str:
    exception = event.pop("exception", "")
    head = " ".join(str(event.pop(key)) for key in _FIRST)
    fields = "".join(f" {key}={_quoted(str(value))}" for key, value in event.items())
    first, *rest = f"{head}\n".splitlines()
    return "\n    ".join([first + fields, *rest, *exception.splitlines()])


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _traceback(exc_info: ExcInfo) -> str:
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    for error in _chain(exc_info[1]):
        if isinstance(error, Error) or isinstance(error.__cause__, Error) or _is_of_driver(error):
            said = str(error)
            text = text.replace(said, said.partition("\n")[0]) if "\n" in said else text
    return text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_driver(error: BaseException) -> bool:
    return type(error).__module__.startswith("psycopg2")


_GATHERED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    _of_trace,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]
"""What every event is given where it happens; the last ones replace fields of the same name."""

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_GATHERED,
        ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
