"""Reading what a provider answered without trusting it: a status, a JSON object if there was one, and its codes.

A refusal (HTTP 300 and above) counts even when its body is no JSON or arrived in pieces: the status alone decides then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dispatch.providers.base import Outcome
from dispatch.providers.tables import ErrorTable
from sendmsg.errors import MalformedAnswer, OutcomeUnknown
from sendmsg.http import HttpClient, Response

_MAX_NUMBER: Final = 999_999  # providers' codes have up to six digits, telephone numbers more


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is empty unless the body was a JSON object. `after`: seconds that the provider asked us to wait."""

    status: int
    content: Mapping[str, Any] = field(repr=False)
    after: float | None

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    def at(self, *path: str | int) -> Any:
        """What the content holds under these keys and indexes; None if it has another shape."""
        found: Any = self.content
        for step in path:
            fits = isinstance(found, dict if isinstance(step, str) else list)
            try:
                found = found[step] if fits else None
            except (KeyError, IndexError):
                return None
        return found

    def outcome(self, table: ErrorTable, code: str | None, after: float | None = None) -> Outcome:
        """What `table` makes of it. `code` is the provider's, from `number` or `word`; it is quoted in the detail.

        `after`: seconds to wait where the provider gave none.
        """
        lacking = "message id" if self.succeeded else "error code"
        detail = f"HTTP {self.status} {code or f'without a usable {lacking}'}"
        return table.outcome(self.status, code, detail, after if self.after is None else self.after)


def ask(http: HttpClient, method: str, url: str, headers: Mapping[str, str], **content: Any) -> Answer:
    """One exchange; `content` as for `HttpClient.request`. Raises `NotSent` and `OutcomeUnknown`."""
    try:
        return _answer(http.request(method, url, headers=headers, **content))
    except OutcomeUnknown as error:
        if error.status is None or error.status < 300:
            raise
        return Answer(error.status, {}, None)


def number(value: object) -> str | None:
    """`value` if it is a numeric code, as an integer or in digits; too short for a telephone number. Else None."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(_MAX_NUMBER)):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER:
        return str(value)
    return None


def _answer(response: Response) -> Answer:
    try:
        content = response.json()
    except MalformedAnswer:
        content = None
    return Answer(response.status, content if isinstance(content, dict) else {}, response.retry_after())
