"""A callback as a span of its message's trace, and the header by which a client's own trace goes on."""

from datetime import datetime
from typing import TYPE_CHECKING

from sendmsg.telemetry import steps, traces
from sendmsg.telemetry.traceparent import HEADER, Place

if TYPE_CHECKING:  # it imports this module
    from webhooks.callbacks.delivery import Result


class CallbackSpan:
    """Made before the call, whose header names it. `column`: of the message's row; "" where there is none."""

    def __init__(self, column: str) -> None:
        self._message = traces.recorded(column)
        self._place = self._message.child() if self._message is not None else None
        self._kept = self._place or Place.stored(column)

    @property
    def headers(self) -> dict[str, str]:
        """For a client that sent a `traceparent` with the message; nobody else is told of our traces."""
        return {HEADER: self._kept.header} if self._kept is not None and self._kept.asked else {}

    def over(self, result: "Result", began: datetime) -> None:
        """The call has ended. No URL is told: a client may have put a secret into it."""
        task, code = result.task, result.code
        data: dict[str, str | int] = {"callback_id": str(task.id), "type": task.type, "attempt": task.attempts + 1}
        data |= {"message_id": str(task.message_id)} if task.message_id is not None else {}
        data |= {"code": code} if code else {}
        if steps.on():
            steps.log("callback", **data, status=result.status)
        if self._message is None:
            return
        if result.status is not None:
            data["http.response.status_code"] = result.status
        traces.write("callback", self._message, began, result.at, data, place=self._place, kind="CLIENT", failed=code)
