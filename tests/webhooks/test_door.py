"""Webhooks pass by what serves people, and by nothing that guards them; the site behind the door answers the same."""

import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from pytest_django.fixtures import Settings

from dispatch import directory
from dispatch.models import Connection
from sendmsg import redis
from tests.webhooks.provider import report, signed
from tests.wsgi import Answer, call
from webhooks.door import INHERITED, Door
from webhooks.inbound import views
from webhooks.inbound.buffer_redis import STREAM

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_buffer")]
PATH = "/webhooks/sendmsg/sendmsg"
Way = Callable[..., Answer]


@pytest.fixture(params=["door", "site"])
def way(request: pytest.FixtureRequest, settings: Settings) -> Way:
    """Made anew for each call: middlewares read their settings once."""

    def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        site = WSGIHandler()
        return call(Door(site) if request.param == "door" else site, path, body, headers or signed(body))

    return post


def test_an_answer_has_its_length_and_the_id_of_the_request(line: Connection, way: Way) -> None:
    answer = way(PATH, report("snd_1"))

    assert (answer.status, answer.headers["Content-Length"]) == (HTTPStatus.OK, str(len(answer.content)))
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert redis.client().xlen(redis.key(STREAM)) == 1


def test_a_host_that_is_not_ours_is_400(line: Connection, way: Way) -> None:
    body = report("snd_1")

    assert way(PATH, body, {**signed(body), "Host": "evil.example"}).status == HTTPStatus.BAD_REQUEST


def test_what_is_not_signed_is_401(line: Connection, way: Way) -> None:
    assert way(PATH, report("snd_1"), {"SendMSG-Signature": "v1=00"}).status == HTTPStatus.UNAUTHORIZED


def test_where_https_is_wanted_plain_http_is_sent_there(line: Connection, way: Way, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True

    answer = way(PATH, report("snd_1"))

    assert (answer.status, answer.headers["Location"]) == (HTTPStatus.MOVED_PERMANENTLY, f"https://testserver{PATH}")


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks/sendmsg", "/webhooks/a/b/c/d", "/elsewhere"])
def test_a_path_that_nobody_has_is_404(path: str, way: Way) -> None:
    assert way(path, b"{}").status == HTTPStatus.NOT_FOUND


def test_a_mistake_of_ours_is_500(line: Connection, way: Way) -> None:
    with patch.object(views, "_received", side_effect=LookupError("ours")):
        assert way(PATH, report("snd_1")).status == HTTPStatus.INTERNAL_SERVER_ERROR


def test_a_database_connection_that_died_is_replaced_before_the_connections_are_read(line: Connection) -> None:
    directory.forget()
    body = report("snd_1")
    with patch("webhooks.door.close_old_connections") as closed:
        call(Door(WSGIHandler()), PATH, body, signed(body))
        call(Door(WSGIHandler()), PATH, body, signed(body))

    assert closed.call_count == 1


def test_the_hosts_environment_is_no_part_of_a_request(line: Connection) -> None:
    seen: list[dict[str, Any]] = []

    def receive(request: HttpRequest) -> NoReturn:
        seen.append(request.META)
        raise LookupError

    body = report("snd_1")
    with patch.object(views, "_received", side_effect=lambda request, token: receive(request)):
        call(Door(WSGIHandler()), PATH, body, signed(body), **os.environ)

    assert not INHERITED & set(seen[0])
    assert seen[0]["PATH_INFO"] == PATH
