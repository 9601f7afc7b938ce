"""One line an event: time, level, logger, request id, text. A line break in a value can't forge a second event."""

import logging

from sendmsg.api.request_id import current_request_id


class LineFormatter(logging.Formatter):
    """Formats records as single lines; a traceback follows, indented, so that every event still starts a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).splitlines() or [""]
        request = current_request_id()
        suffix = f" request_id={request}" if request else ""
        return "\n    ".join([first + suffix, *rest])
