"""Remembers requests that were stored, so that a copy of one changes nothing.

What `verify` returned is kept in Redis with a digest of the content, once the content is stored and not before: a
provider that repeats what we could not store must be heard. A copy with the same content is answered and not stored
again. One with other content is refused: some signatures (Plivo's V2) cover the nonce and not the body.

Fails open: without Redis a copy is processed once more, and makes no second row.
"""

import hashlib
import logging

from redis.exceptions import RedisError

from sendmsg import redis
from sendmsg.errors import SignatureRefused
from webhooks.inbound.base import WebhookRequest
from webhooks.inbound.circuit import Circuit

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.5  # seconds; a key is read, or written

_circuit = Circuit()


def known(connection: str, unique: str, request: WebhookRequest) -> bool:
    """Whether this very request was stored before; raises `SignatureRefused` if another one by its proof was."""
    if not unique or not _circuit.allows():
        return False
    try:
        content = redis.client(REDIS_TIMEOUT).get(_key(connection, unique))
    except RedisError as error:
        _failed(error)
        return False
    _circuit.succeeded()
    if content is not None and content != _content(request):
        raise SignatureRefused("this proof came with another content before", code="replayed")
    return content is not None


def remember(connection: str, unique: str, request: WebhookRequest, window: int) -> None:
    """Recognise the request for `window` seconds."""
    if not unique or not _circuit.allows():
        return
    try:
        redis.client(REDIS_TIMEOUT).set(_key(connection, unique), _content(request), nx=True, ex=window)
    except RedisError as error:
        _failed(error)
    else:
        _circuit.succeeded()


def forget() -> None:
    """Ask Redis again, whatever it said last."""
    _circuit.succeeded()


def _failed(error: RedisError) -> None:
    logger.warning("replays are not recognised reason=%s", type(error).__name__)
    _circuit.failed()


def _key(connection: str, unique: str) -> str:
    name = hashlib.blake2b(unique.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return redis.key(f"seen:{connection}:{name}")


def _content(request: WebhookRequest) -> bytes:
    head = f"{request.method} {request.query}\n".encode("utf-8", "replace")
    return hashlib.blake2b(head + request.body, digest_size=16).digest()
