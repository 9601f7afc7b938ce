"""A log line for each step of each message, where `LOG_MESSAGES` asks for it: who greps an id sees all of its life.

The timeline has the same and more; this is for where all logs are kept in one place.
"""

import logging
from typing import Final

import structlog

LOGGER: Final = "sendmsg.messages"
logger = structlog.stdlib.get_logger(LOGGER)
_level = logging.getLogger(LOGGER)  # asked for every step of every message, so without anything between


def on() -> bool:
    return _level.isEnabledFor(logging.INFO)


def log(step: str, **fields: object) -> None:
    """One step. `fields`: ids, names, states and codes only; None and "" are left out."""
    logger.info(step, **{name: value for name, value in fields.items() if value not in (None, "")})
