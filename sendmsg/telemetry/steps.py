"""A log line for each step of each message, where `LOG_MESSAGES` asks for it: who greps an id sees all of its life.

The timeline has the same and more; this is for where all logs are kept in one place.
"""

import logging
from typing import Final

LOGGER: Final = "sendmsg.messages"
logger = logging.getLogger(LOGGER)


def on() -> bool:
    return logger.isEnabledFor(logging.INFO)


def log(step: str, **fields: object) -> None:
    """One step. `fields`: ids, names, states and codes only; None and "" are left out."""
    known = {name: value for name, value in fields.items() if value not in (None, "")}
    logger.info(" ".join([step, *(f"{name}=%s" for name in known)]), *known.values())
