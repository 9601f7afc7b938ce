"""Remembers requests that were stored, so that a copy of one changes nothing.

What `verify` returned is kept in Redis with a digest of the content, once the content is stored and not before: a
provider that repeats what we could not store must be heard. A copy with the same content is answered and not stored
again. One with other content is refused: some signatures (Plivo's V2) cover the nonce and not the body. Where the same
Redis is the buffer, looking, storing and remembering are one script there (`webhooks.inbound.buffer_redis`).

Fails open: without Redis a copy is processed once more, and makes no second row.
"""

import hashlib
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from sendmsg import redis
from sendmsg.errors import SignatureRefused
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.circuit import Circuit

logger = structlog.stdlib.get_logger(__name__)

REDIS_TIMEOUT = 0.5  # seconds; a key is read, or written

_circuit = Circuit()


@dataclass(frozen=True, slots=True)
class Proof:
    """What no other request may have: the key that says so, the content that it came with, and for how many seconds."""

    key: str
    content: bytes
    window: int

    def is_copy(self, content: bytes | None) -> bool:
        """Whether what is remembered, if anything is, is this request; raises `SignatureRefused` if it is another."""
        if content is not None and content != self.content:
            raise SignatureRefused("this proof came with another content before", code="replayed")
        return content is not None


def proof(connection: str, unique: str, request: WebhookRequest, window: int) -> Proof | None:
    """None for a request that has nothing of its own."""
    if not unique:
        return None
    name = hashlib.blake2b(unique.encode("utf-8", "replace"), digest_size=16).hexdigest()
    head = f"{request.method} {request.query}\n".encode("utf-8", "replace")
    content = hashlib.blake2b(head + request.body, digest_size=16).digest()
    return Proof(redis.key(f"seen:{connection}:{name}"), content, window)


def known(proof: Proof) -> bool:
    """Whether this very request was stored before; raises `SignatureRefused` if another one by its proof was."""
    if not _circuit.allows():
        return False
    try:
        content = redis.client(REDIS_TIMEOUT).get(proof.key)
    except RedisError as error:
        _failed(error)
        return False
    _circuit.succeeded()
    return proof.is_copy(content if isinstance(content, bytes) else None)


def remember(proof: Proof) -> None:
    """Recognise the request from now on."""
    if not _circuit.allows():
        return
    try:
        redis.client(REDIS_TIMEOUT).set(proof.key, proof.content, nx=True, ex=proof.window)
    except RedisError as error:
        _failed(error)
    else:
        _circuit.succeeded()


def forget() -> None:
    """Ask Redis again, whatever it said last."""
    _circuit.succeeded()


def _failed(error: RedisError) -> None:
    logger.warning("replays are not recognised", reason=type(error).__name__)
    _circuit.failed()
