"""What the sandbox provider received, by idempotency key: the evidence that nothing was sent twice.

In memory only. The newest `limit` keys are kept; a key pushed out is forgotten, so a repeat of it would be a
send.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

# A long benchmark fits, in about 500 MB when full.
KEPT_KEYS = 1_000_000


@dataclass(slots=True)
class Entry:
    """One idempotency key. `sends` is 0 (refused so far) or 1; `message_id` and `sent_at` are set with the send."""

    to: str
    message_id: str | None = None
    sent_at: float | None = None  # seconds since 1970
    sends: int = 0
    replays: int = 0
    refusals: int = 0
    answering: bool = False  # the send is recorded, its answer is still to come
    status: str = "accepted"
    error_code: str | None = None

    def move(self, status: str, error_code: str | None) -> None:
        """What the status endpoint says from now on; a late `sent` doesn't undo an end."""
        if status == "sent" and self.status != "accepted":
            return
        self.status = status
        self.error_code = error_code

    def tally(self) -> dict[str, str | float | None]:
        """What `GET /received` says about it."""
        return {
            "sends": self.sends,
            "replays": self.replays,
            "refusals": self.refusals,
            "to": self.to,
            "id": self.message_id,
            "sent_at": self.sent_at,
        }


class Ledger:
    """The entries and two totals since the start or the last `reset`, which count forgotten keys too."""

    def __init__(self, limit: int = KEPT_KEYS) -> None:
        self.sends = 0
        self.replays = 0
        self._limit = limit
        self._entries: dict[str, Entry] = {}
        self._by_message_id: dict[str, Entry] = {}

    def entry(self, key: str, to: str) -> Entry:
        """The entry of a key, made when the key is seen for the first time."""
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._limit:
                oldest = self._entries.pop(next(iter(self._entries)))
                self._by_message_id.pop(oldest.message_id or "", None)
            entry = self._entries[key] = Entry(to)
        return entry

    def send(self, entry: Entry) -> str:
        """Records the send of an entry; returns the new message id."""
        message_id = entry.message_id = f"snd_{uuid.uuid4().hex}"
        entry.sent_at = time.time()
        entry.sends += 1
        self.sends += 1
        self._by_message_id[message_id] = entry
        return message_id

    def replay(self, entry: Entry) -> None:
        entry.replays += 1
        self.replays += 1

    def find(self, message_id: str) -> Entry | None:
        return self._by_message_id.get(message_id)

    def keys(self) -> list[str]:
        return list(self._entries)

    def select(self, keys: Iterable[str] | None = None) -> dict[str, Entry]:
        """The entries of `keys` as far as they are known; all of them without `keys`."""
        if keys is None:
            return dict(self._entries)
        return {key: self._entries[key] for key in keys if key in self._entries}

    def reset(self) -> None:
        """Forgets everything. Receipts that are still to come, come."""
        self._entries.clear()
        self._by_message_id.clear()
        self.sends = self.replays = 0
