"""Adapters whose provider takes one text for many recipients in one call.

A batch is split into calls: messages of one body, sender, channel and validity, each recipient once (providers drop
repeated ones), at most `batch_size`. Outcomes come back in the order of the batch. The care is `HttpProvider`'s:
nothing is raised, no call begins after `total_timeout`, and what speaks for the provider ends the batch.

A call that is refused as a whole took nothing. If one bad recipient may be why, it is halved until the bad one stands
alone, so that one wrong number never costs the others their message.
"""

import time
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch.providers.base import HttpProvider, Outbound, Outcome, Rejected, Retry, Unavailable, Unknown
from sendmsg.errors import NotSent, OutcomeUnknown

_MAYBE_ONE_RECIPIENT: Final = frozenset({"invalid_recipient", "invalid_request", "opted_out", "unroutable"})
"""Refusals of a call that one of its recipients may be the reason of; the others are about what all have in common."""


@dataclass(frozen=True, slots=True)
class Call:
    """What one HTTP call carries. `validity`: whole seconds within the provider's range; None: its default."""

    messages: Sequence[Outbound]
    validity: int | None

    @property
    def first(self) -> Outbound:
        """Any of them, for what all have in common."""
        return self.messages[0]


class BatchHttpProvider(HttpProvider):
    """An adapter that makes one HTTP call for many messages: it implements `attempt_call`."""

    @abstractmethod
    def attempt_call(self, call: Call) -> list[Outcome] | Outcome:
        """One call. An outcome for each message, in order; or one, if the provider answered for the call as a whole.

        May raise `NotSent` and `OutcomeUnknown` as the HTTP client does.
        """

    def attempt(self, message: Outbound) -> Outcome:
        [outcome] = self.send([message])
        return outcome

    def send(self, batch: Sequence[Outbound]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        give_up_at = time.monotonic() + self.config.total_timeout
        over: Outcome | None = None
        waiting = deque(self._calls(batch))
        while waiting:
            places = waiting.popleft()
            if over is None and time.monotonic() >= give_up_at:
                over = Retry("batch_deadline", "not attempted: the batch took too long", after=0.0)
            answer = over or self._answer([batch[place] for place in places])
            if isinstance(answer, Rejected) and len(places) > 1 and answer.code in _MAYBE_ONE_RECIPIENT:
                middle = len(places) // 2
                waiting.extendleft((places[middle:], places[:middle]))
                continue
            outcomes.update(zip(places, answer if isinstance(answer, list) else [answer] * len(places), strict=True))
            if isinstance(answer, Retry | Unavailable) and answer.code in self.stops_batch:
                over = answer
        return [outcomes[place] for place in range(len(batch))]

    def _calls(self, batch: Sequence[Outbound]) -> list[list[int]]:
        """Places in the batch, by call."""
        before: Counter[Hashable] = Counter()
        alike: dict[Hashable, list[int]] = {}
        for place, message in enumerate(batch):
            common = (message.body, message.sender, message.channel, self.capabilities.validity_of(message.valid_for))
            alike.setdefault((common, before[common, message.to]), []).append(place)
            before[common, message.to] += 1
        size = self.capabilities.batch_size
        return [places[start : start + size] for places in alike.values() for start in range(0, len(places), size)]

    def _answer(self, messages: Sequence[Outbound]) -> list[Outcome] | Outcome:
        try:
            return self.attempt_call(Call(messages, self.capabilities.validity_of(messages[0].valid_for)))
        except NotSent as error:
            return Unavailable(error.code, error.detail, after=None)
        except OutcomeUnknown as error:
            return Unknown(error.code, error.detail)


def digits(number: object) -> str:
    """A number as providers compare them: digits only. Empty for what is no number."""
    return "".join(sign for sign in number if sign in "0123456789") if isinstance(number, str) else ""
