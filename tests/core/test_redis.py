"""Redis that is away is noticed at once, and nothing is tried twice behind the caller's back."""

import socket
import threading
import time

import pytest
from django.conf import settings
from django.test import override_settings
from redis.exceptions import RedisError

from sendmsg import redis
from tests.outages import redis_away


def test_a_key_carries_our_prefix() -> None:
    assert redis.key("wake") == f"{settings.REDIS_PREFIX}:wake"


def test_there_is_one_client_for_each_patience() -> None:
    assert redis.client() is redis.client()
    assert redis.client(5.0) is not redis.client()


def test_a_closed_port_is_an_error_at_once() -> None:
    start = time.monotonic()

    with redis_away(), pytest.raises(RedisError):
        redis.client().ping()

    assert time.monotonic() - start < 1


def test_a_command_is_not_repeated() -> None:
    taken: list[bytes] = []

    def hang_up(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                taken.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        redis.client.cache_clear()
        with override_settings(REDIS_URL=f"redis://127.0.0.1:{server.getsockname()[1]}/0"), pytest.raises(RedisError):
            redis.client().xadd("stream", {"a": "b"})
        redis.client.cache_clear()
        server.shutdown(socket.SHUT_RDWR)

    assert len(taken) == 1
