"""What every provider adapter takes and gives back: frozen values in, one typed outcome per message out.

An adapter translates between these values and one provider's wire format, and nothing else: it holds no state between
calls, retries nothing, sleeps nowhere and knows no models. What an outcome means for the message (wait, fail over, give
up, ask) is decided by the engine. Codes are stable words of ours, at most `MAX_CODE` characters; details are for
operators and never quote what a provider wrote beyond `word()`, because providers echo numbers, bodies and keys.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final
from uuid import UUID

from sendmsg.errors import ConfigurationError, NotSent, OutcomeUnknown
from sendmsg.http import HttpClient, build_session
from sendmsg.transport import NOT_SENT_CODES

MAX_CODE: Final = 60  # characters of a code
MAX_PROVIDER_ID: Final = 128  # characters; the longest real ones (WhatsApp's `wamid.…`) have about 70

_PROVIDER_ID = re.compile(rf"[\x21-\x7e]{{1,{MAX_PROVIDER_ID}}}")
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Template:
    """A WhatsApp template that Meta approved, with one parameter in its body. `language`: such as `en_GB`."""

    name: str
    language: str


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message for a provider. `sender` may be empty: the provider's own default then. `channel`: sms, whatsapp.

    `valid_for`: seconds that it is still worth delivering; adapters whose provider can be told pass it on. `template`:
    what carries the body, only for providers whose capabilities say `templates`.
    """

    message_id: UUID
    to: str = field(repr=False)
    sender: str
    body: str = field(repr=False)
    channel: str
    valid_for: float | None = None
    template: Template | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it. Several ids where the provider counts parts as messages; at least one, in its order."""

    provider_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good: the same message would be refused again, and by other providers most likely too."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Not taken; the provider is well and asked for it later. `after`: seconds from now, None if it didn't say."""

    code: str
    detail: str
    after: float | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The provider can't serve us and NOTHING was sent, so failing over is safe. `after` as in `Retry`."""

    code: str
    detail: str
    after: float | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been sent. Repeating it is safe only where the provider deduplicates by our key."""

    code: str
    detail: str


Outcome = Accepted | Rejected | Retry | Unavailable | Unknown


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of an adapter's error table: the kind of outcome, and our code for it."""

    kind: type[Rejected] | type[Retry] | type[Unavailable] | type[Unknown]
    code: str

    def outcome(self, detail: str, after: float | None = None) -> Outcome:
        """`after` in seconds; dropped by kinds that have no use for it."""
        if issubclass(self.kind, Retry | Unavailable):
            return self.kind(self.code, detail, after)
        return self.kind(self.code, detail)


class SenderKind(StrEnum):
    """What a sender is, by its form; `dispatch.senders` has checked that it has one of these."""

    NUMBER = "number"
    SHORT_CODE = "short_code"
    NAME = "name"
    NONE = "none"  # the message names no sender

    @classmethod
    def of(cls, sender: str) -> "SenderKind":
        if not sender:
            return cls.NONE
        if sender.startswith("+"):
            return cls.NUMBER
        return cls.SHORT_CODE if sender.isdecimal() else cls.NAME


class NumberFormat(StrEnum):
    """How a provider wants a number written."""

    E164 = "e164"  # with its +
    DIGITS = "digits"  # without

    def write(self, number: str) -> str:
        """`number`, which is in E.164, or a sender that is no number and stays as it is."""
        return number.removeprefix("+") if self is NumberFormat.DIGITS else number


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, as data: adapters, routing and the documentation read it.

    `batch_size`: the most messages one HTTP call takes. `deduplicates`: a repeated message id is recognised and not
    sent again, so repeating resolves an unknown outcome. `remembers_for`: seconds from the first try in which it
    recognises a repeat; 23 hours of the usual 24, for safety. `fetches_status`: what became of a message can be asked
    for by the provider's id. `finds`: whether it has a message can be asked for without that id.

    `validity`: the fewest and most seconds that it can be told to keep trying; None: it can't be told. `senders`: the
    kinds that it takes, if the connection is set up for them. `max_body`: characters of a text; None: not documented.
    `pair_interval`: seconds that it wants between two messages to one recipient. `templates`: sends WhatsApp texts as
    the parameter of a template too.
    """

    channels: frozenset[str]
    batch_size: int = 1
    deduplicates: bool = False
    fetches_status: bool = False
    remembers_for: float = 82_800.0
    finds: bool = False
    validity: tuple[int, int] | None = None
    senders: frozenset[SenderKind] = frozenset(SenderKind)
    number_format: NumberFormat = NumberFormat.E164
    max_body: int | None = None
    pair_interval: float = 0.0
    templates: bool = False

    def validity_of(self, wanted: float | None) -> int | None:
        """Whole seconds to tell it, moved into its range; None if there are none to tell."""
        if wanted is None or self.validity is None:
            return None
        least, most = self.validity
        return min(max(int(wanted), least), most)


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider says of a message when asked. `status`: a value of `dispatch.vocabulary.ReceiptStatus`."""

    status: str
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The provider has the message whose send had no answer: these are the ids that `Accepted` would have had.

    Where it was told by its text and time alone, another message may be meant: an id that is known already is no find.
    """

    provider_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """The provider has no such message, and will not have it: it may be sent again."""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """One account at a provider. Timeouts in seconds; `concurrency` is the most HTTP calls at once in this process."""

    name: str
    base_url: str
    credentials: Mapping[str, Any] = field(repr=False)
    receipt_url: str | None
    concurrency: int
    connect_timeout: float
    read_timeout: float
    total_timeout: float

    def credential(self, key: str) -> str:
        """The credential, which must be there as text fit for a header; `ConfigurationError` names it otherwise."""
        value = self.credentials.get(key)
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise ConfigurationError(f"Connection {self.name}: the credential {key!r} is missing or malformed.")
        return value


class Provider(ABC):
    """An adapter. One instance serves one connection, and `send` may be called by many threads at once."""

    slug: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init__(self, config: ConnectionConfig) -> None:
        """Raises `ConfigurationError` if the connection can't work. Opens nothing yet."""
        self.config = config

    @abstractmethod
    def send(self, batch: Sequence[Outbound]) -> list[Outcome]:
        """One outcome per message, in order. Whatever the provider or the network does is an outcome, never raised.

        Returns within twice `total_timeout`, whatever the length of the batch.
        """

    def fetch_status(self, reference: str) -> Report | None:
        """What became of the message with this id of the provider's; None when it can't say.

        Only for providers whose capabilities say `fetches_status`. Raises `NotSent` or `OutcomeUnknown` like any call.
        """
        raise NotImplementedError(f"{self.slug} has no status API")

    def find(self, message: Outbound, since: datetime) -> Found | Missing | None:
        """Whether the provider has this message, whose send began at `since` and had no answer; None if it can't say.

        Only for providers whose capabilities say `finds`. In doubt None: a wrong `Missing` sends a message twice. So
        there is none before the provider's lists have settled, some minutes after `since`. Raises as `fetch_status`.
        """
        raise NotImplementedError(f"{self.slug} can't be asked for a message without its id")

    @abstractmethod
    def close(self) -> None:
        """Lets go of sockets. The instance is of no use afterwards. May be called twice."""


class HttpProvider(Provider):
    """An adapter that makes one HTTP call per message: it implements `attempt`, and inherits the care around it.

    A batch ends early at an outcome that speaks for the provider and not for the message (unreachable, our credentials
    refused, throttled): the rest gets the same outcome without a call, so that a dead provider costs one timeout and a
    throttling one is left alone. The rest of a batch that used up `total_timeout` is handed back as `Retry`.
    """

    stops_batch: ClassVar[frozenset[str]] = NOT_SENT_CODES | {"unauthorized", "throttled"}

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        if not config.base_url.startswith(("https://", "http://")):
            raise ConfigurationError(f"Connection {config.name}: the base URL needs to begin with https:// or http://.")
        self.base_url = config.base_url.rstrip("/")
        self.http: HttpClient = build_session(
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            total_timeout=config.total_timeout,
            pool_size=config.concurrency,
        )

    @abstractmethod
    def attempt(self, message: Outbound) -> Outcome:
        """One call. May raise `NotSent` and `OutcomeUnknown` as the HTTP client does."""

    def send(self, batch: Sequence[Outbound]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        give_up_at = time.monotonic() + self.config.total_timeout
        for message in batch:
            if time.monotonic() >= give_up_at:
                outcomes.append(Retry("batch_deadline", "not attempted: the batch took too long", after=0.0))
                continue
            outcome = self._outcome(message)
            outcomes.append(outcome)
            if isinstance(outcome, Retry | Unavailable) and outcome.code in self.stops_batch:
                return outcomes + [outcome] * (len(batch) - len(outcomes))
        return outcomes

    def close(self) -> None:
        self.http.close()

    def _outcome(self, message: Outbound) -> Outcome:
        try:
            return self.attempt(message)
        except NotSent as error:
            return Unavailable(error.code, error.detail, after=None)
        except OutcomeUnknown as error:
            return Unknown(error.code, error.detail)


def provider_id(value: object) -> str | None:
    """`value` if it can be a provider's id (visible ASCII, not too long for the database), else None."""
    return value if isinstance(value, str) and _PROVIDER_ID.fullmatch(value) else None


def word(value: object) -> str | None:
    """`value` if it is a bare word such as an error code: no digits, so neither a number nor a key. Else None."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
