"""Clients whose keys were looked at lately, for a short way in that must not ask twice who is calling.

This proposes and never decides. Whoever goes by it holds `STILL_GOOD` against the database in the very statement that
does what the client wants: a key that was revoked a moment ago opens nothing. It forgets a client in time for
`last_used_at` to be written by the long way.
"""

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sendmsg.api.authentication import Client

MOST: Final = 10_000  # clients; a few hundred bytes each
STILL_GOOD: Final = """
FROM accounts_apikey k JOIN accounts_account a ON a.id = k.account_id
WHERE k.id = {key} AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > {now})
    AND a.default_sender = {default_sender}
"""
"""Of what a `Client` says, only this can change: keys are never edited."""

_known: dict[str, tuple["Client", float]] = {}


def remember(digest: str, client: "Client", seconds: float) -> None:
    """The client that holds the key with this digest, for so long."""
    if len(_known) >= MOST:
        _known.clear()
    _known[digest] = client, time.monotonic() + seconds


def recall(digest: str) -> "Client | None":
    found = _known.get(digest)
    return found[0] if found is not None and time.monotonic() < found[1] else None


def forget() -> None:
    _known.clear()
