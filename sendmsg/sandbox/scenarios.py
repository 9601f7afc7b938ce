"""The lives a message can have at the sandbox provider, as one table.

The last two digits of the recipient choose the row; digits without a row play `00`. The server plays rows and
knows no digits, so a life is added here and nowhere else. Each `meaning` is one line, as README and `--help`
show it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Pause(StrEnum):
    """A wait by name; the server gives its length, so that tests don't wait for what people watch."""

    NONE = "none"
    SHORT = "short"  # long enough for a receipt to be handled before the answer to the send
    LATE = "late"
    SLOW = "slow"  # longer than a sane client waits for an answer


# Seconds. LATE and SLOW are changed by flags.
DEFAULT_PAUSES = {Pause.NONE: 0.0, Pause.SHORT: 0.5, Pause.LATE: 5.0, Pause.SLOW: 30.0}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: nothing was sent. `retry_after` in seconds."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next to an accepted message, and how many identical receipts (same event id) tell it."""

    status: str
    error_code: str | None = None
    after: Pause = Pause.NONE
    receipts: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """One life. `refused` is how many requests of one key get `refusal`; None means all of them."""

    digits: str
    meaning: str
    refusal: Refusal | None = None
    refused: int | None = 0
    receipts_first: bool = False
    answer_after: Pause = Pause.NONE
    answers: bool = True
    steps: tuple[Step, ...] = (Step("delivered"),)

    def refuses(self, before: int) -> Refusal | None:
        """The refusal of a request whose key was refused `before` times already."""
        return self.refusal if self.refused is None or before < self.refused else None


SCENARIOS = (
    Scenario("00", "Delivered at once."),
    Scenario("01", "Delivered late, after 5 s.", steps=(Step("delivered", after=Pause.LATE),)),
    Scenario("02", "Delivered; the same receipt comes twice.", steps=(Step("delivered", receipts=2),)),
    Scenario(
        "03",
        "Delivered; receipts out of order: `delivered`, then `sent`.",
        steps=(Step("delivered"), Step("sent")),
    ),
    Scenario(
        "04",
        "Delivered; the receipt comes 0.5 s before the answer to the send.",
        receipts_first=True,
        answer_after=Pause.SHORT,
    ),
    Scenario(
        "05",
        "Permanent failure: 422 `invalid_recipient`.",
        refusal=Refusal(422, "invalid_recipient", "The recipient does not exist."),
        refused=None,
    ),
    Scenario(
        "06",
        "Accepted, then undelivered by receipt: `absent_subscriber`.",
        steps=(Step("undelivered", "absent_subscriber"),),
    ),
    Scenario(
        "07",
        "Temporary failure: 503 twice, then delivered.",
        refusal=Refusal(503, "unavailable", "The service is unavailable."),
        refused=2,
    ),
    Scenario(
        "08",
        "Throttled: 429 with `Retry-After: 2` once, then delivered.",
        refusal=Refusal(429, "throttled", "Too many requests.", retry_after=2),
        refused=1,
    ),
    Scenario("09", "Accepted, answered after 30 s, then delivered.", answer_after=Pause.SLOW),
    Scenario("10", "Accepted, connection dropped without an answer; delivered.", answers=False),
    Scenario("11", "Accepted and sent; never a receipt.", steps=(Step("sent", receipts=0),)),
    Scenario(
        "12",
        "Broken provider: 500 always.",
        refusal=Refusal(500, "internal", "Something went wrong."),
        refused=None,
    ),
)

_BY_DIGITS = {scenario.digits: scenario for scenario in SCENARIOS}


def scenario_for(to: str) -> Scenario:
    return _BY_DIGITS.get(to[-2:], SCENARIOS[0])
