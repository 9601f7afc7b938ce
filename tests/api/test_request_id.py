"""`X-Request-ID`."""

import pytest
from django.test import Client

pytestmark = pytest.mark.urls("tests.api.urls")


@pytest.mark.parametrize("given", ["a", "019a9d8e-1c2f-7b40-a1d5-c3e2f4b6a798", "A.b_c-9", "x" * 64])
def test_a_harmless_id_is_kept(client: Client, given: str) -> None:
    response = client.get("/v1/nothing", headers={"X-Request-ID": given})

    assert response["X-Request-ID"] == given
    assert response.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "é", "a;b", '"><script>', "id=1"])
def test_any_other_id_is_replaced(client: Client, given: str) -> None:
    response = client.get("/v1/nothing", headers={"X-Request-ID": given})

    assert response["X-Request-ID"] != given
    assert response.json()["request_id"] == response["X-Request-ID"]


def test_every_request_has_its_own(client: Client) -> None:
    assert len({client.get("/healthz")["X-Request-ID"] for _ in range(10)}) == 10
