"""Error tables: what a provider's refusal means, as data.

An adapter brings the rows of its own documentation, by the provider's code; what it doesn't name is decided by the HTTP
status, by the rows below that hold for every HTTP API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from dispatch.providers.base import Outcome, Rejected, Retry, Unavailable, Unknown, Verdict

STATUSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        302: Verdict(Unknown, "redirected"),  # usual after a finished POST
        303: Verdict(Unknown, "redirected"),
        400: Verdict(Rejected, "invalid_request"),
        401: Verdict(Unavailable, "unauthorized"),  # our credentials are at fault, not the message
        402: Verdict(Unavailable, "out_of_credit"),
        403: Verdict(Unavailable, "unauthorized"),
        408: Verdict(Retry, "request_timeout"),
        409: Verdict(Retry, "conflict"),
        413: Verdict(Rejected, "too_large"),
        422: Verdict(Rejected, "invalid_request"),
        425: Verdict(Retry, "too_early"),
        429: Verdict(Retry, "throttled"),
        501: Verdict(Unavailable, "not_implemented"),
        503: Verdict(Unavailable, "unavailable"),
    }
)
"""Of any HTTP API; 500, 502 and 504 are missing because they may come after the message was taken."""

CLASSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        2: Verdict(Unknown, "bad_answer"),
        3: Verdict(Unavailable, "redirected"),  # never followed: the base URL is wrong
        4: Verdict(Unavailable, "misconfigured"),  # so it is for 404; the message is not at fault
        5: Verdict(Unknown, "server_error"),
    }
)
Code = str | tuple[int, str]
"""A provider's code, or the code under one status."""
_OTHERWISE: Final = Verdict(Unknown, "bad_answer")


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Rows by the provider's own code, and by status where the provider means something else than everybody.

    A code may mean something under one status only: then its row is `(status, code)`, else `code`.
    """

    codes: Mapping[Code, Verdict] = field(default_factory=dict)
    statuses: Mapping[int, Verdict] = field(default_factory=dict)

    def verdict(self, status: int, code: str | None = None) -> Verdict:
        """The most exact row there is."""
        if code is not None:
            found = self.codes.get((status, code)) or self.codes.get(code)
            if found is not None:
                return found
        return self.statuses.get(status) or STATUSES.get(status) or CLASSES.get(status // 100, _OTHERWISE)

    def outcome(self, status: int, code: str | None, detail: str, after: float | None = None) -> Outcome:
        """`after`: seconds that the provider asked us to wait."""
        return self.verdict(status, code).outcome(detail, after)
