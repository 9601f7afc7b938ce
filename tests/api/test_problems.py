"""Every exception comes out as a problem, and none says more than it should."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from sendmsg.api.codes import KINDS
from sendmsg.api.problems import DATABASE_RETRY_AFTER, MAX_ERRORS, Problem, pointer
from tests.api.urls import SECRET
from tests.cast import Member

pytestmark = pytest.mark.urls("tests.api.urls")


@pytest.fixture
def quiet(client: Client) -> Client:
    """A client that shows 500s as a browser sees them."""
    client.raise_request_exception = False
    return client


def check_form(response: Any) -> dict[str, Any]:
    """What RFC 9457 and we promise of every problem."""
    document: dict[str, Any] = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert set(document) == {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
    assert document["status"] == response.status_code == KINDS[document["code"]].status
    assert document["title"] == KINDS[document["code"]].title
    assert document["type"] == f"urn:sendmsg:problem:{document['code']}"
    assert document["request_id"] == response["X-Request-ID"]
    assert document["instance"] == f"urn:sendmsg:request:{document['request_id']}"
    assert SECRET not in response.text
    return document


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("problem", "forbidden"),
        ("not-found", "not_found"),
        ("drf-not-found", "not_found"),
        ("forbidden", "forbidden"),
        ("throttled", "throttled"),
        ("unauthenticated", "key_missing"),
        ("database-down", "database_unavailable"),
        ("database-gone", "database_unavailable"),
        ("validation", "validation_failed"),
        ("django-validation", "validation_failed"),
        ("bug", "internal_error"),
    ],
)
def test_each_exception_has_its_problem(quiet: Client, name: str, code: str) -> None:
    assert check_form(quiet.get(f"/v1/raise/{name}"))["code"] == code


def test_a_problem_may_say_something_more_exact(client: Client) -> None:
    assert check_form(client.get("/v1/raise/problem"))["detail"] == "Not on a Sunday."


def test_nested_mistakes_come_as_a_flat_list_of_pointers(client: Client) -> None:
    assert check_form(client.get("/v1/raise/validation"))["errors"] == [
        {"pointer": "/to", "code": "number_invalid", "detail": "No."},
        {"pointer": "/metadata/a~1b~0c", "code": "invalid", "detail": "Too long."},
        {"pointer": "/list/3", "code": "invalid", "detail": "x"},
    ]


def test_a_mistake_of_the_whole_request_points_to_the_whole(client: Client) -> None:
    assert [error["pointer"] for error in check_form(client.get("/v1/raise/whole"))["errors"]] == [""]


def test_djangos_own_validation_errors_keep_their_codes(client: Client) -> None:
    assert check_form(client.get("/v1/raise/django-validation"))["errors"] == [
        {"pointer": "/name", "code": "unique", "detail": "Taken."},
        {"pointer": "", "code": "invalid", "detail": "Never."},
    ]


def test_thousands_of_mistakes_do_not_make_a_long_answer(client: Client) -> None:
    assert len(check_form(client.get("/v1/raise/many"))["errors"]) == MAX_ERRORS


def test_a_throttled_request_is_told_when_to_come_back(client: Client) -> None:
    assert client.get("/v1/raise/throttled")["Retry-After"] == "3"


def test_without_its_database_the_api_asks_to_come_back(client: Client, alice: Member) -> None:
    def refuse(*_: Any) -> Any:
        raise OperationalError(SECRET)

    with connection.execute_wrapper(refuse):
        response = client.get("/v1/client", headers=alice.headers)

    assert check_form(response)["code"] == "database_unavailable"
    assert response["Retry-After"] == str(DATABASE_RETRY_AFTER)


def test_a_bug_is_logged_with_its_place_but_not_with_its_words(quiet: Client, caplog: pytest.LogCaptureFixture) -> None:
    quiet.get("/v1/raise/bug")

    assert "unexpected error in a request error=RuntimeError" in caplog.text
    assert "urls.py" in caplog.text
    assert SECRET not in caplog.text


def test_a_bug_reaches_djangos_listeners(client: Client) -> None:
    with pytest.raises(RuntimeError):
        client.get("/v1/raise/bug")


def test_a_wrong_method_is_a_405_that_names_the_right_ones(client: Client) -> None:
    response = client.put("/v1/raise/bug")

    assert check_form(response)["code"] == "method_not_allowed"
    assert "GET" in response["Allow"]


def test_an_accept_header_without_json_is_a_406(client: Client) -> None:
    response = client.get("/v1/raise/problem", headers={"Accept": "application/xml"})

    assert check_form(response)["code"] == "not_acceptable"


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Problem("no_such_code")


@pytest.mark.parametrize(("parts", "text"), [((), ""), (("a", 0), "/a/0"), (("a/b", "~"), "/a~1b/~0"), (("",), "/")])
def test_pointers_are_escaped_as_rfc_6901_says(parts: tuple[str | int, ...], text: str) -> None:
    assert pointer(*parts) == text


@pytest.mark.parametrize("code", KINDS)
def test_every_code_reads_well(code: str) -> None:
    kind = KINDS[code]

    assert 400 <= kind.status < 600
    assert code == code.lower()
    assert kind.meaning.endswith(".")
    assert not kind.title.endswith(".")


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/effects/", "/v1/%00", "/v1/%FF"])
@pytest.mark.parametrize("method", ["get", "post", "options"])
def test_an_unknown_address_is_a_problem(client: Client, settings: Any, debug: bool, path: str, method: str) -> None:
    settings.DEBUG = debug

    assert check_form(getattr(client, method)(path))["code"] == "not_found"


def test_an_address_outside_of_the_api_is_djangos_page(client: Client) -> None:
    response = client.get("/nothing")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_a_bug_outside_of_drf_is_a_problem_too(quiet: Client) -> None:
    assert check_form(quiet.get("/v1/broken"))["code"] == "internal_error"


def test_a_host_that_we_are_not_is_a_problem(client: Client) -> None:
    response = client.get("/v1/effects/", headers={"Host": "evil.example"})

    assert check_form(response)["code"] == "request_invalid"
