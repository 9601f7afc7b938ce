"""Webhooks pass by what serves people, and by nothing that guards them."""

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from dispatch.models import Connection
from tests.webhooks.provider import deliver, report, signed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer")]
PATH = "/webhooks/sendmsg/sendmsg"


def test_an_answer_has_its_length_and_the_id_of_the_request(line: Connection) -> None:
    answer = deliver(report("snd_1"))

    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(answer.content)))
    assert answer["X-Request-ID"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert not answer.cookies


def test_a_host_that_is_not_ours_is_400(line: Connection) -> None:
    body = report("snd_1")

    answer = Client().post(PATH, body, "application/json", headers={**signed(body), "Host": "evil.example"})

    assert answer.status_code == 400


def test_where_https_is_wanted_plain_http_is_sent_there(line: Connection, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert deliver(report("snd_1")).status_code == 301


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks/sendmsg", "/webhooks/a/b/c/d"])
def test_a_path_that_nobody_has_is_404(path: str) -> None:
    assert Client().post(path, b"{}", "application/json").status_code == 404
