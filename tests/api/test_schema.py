"""How endpoints are documented."""

import json
from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate

from sendmsg.api.codes import KINDS
from sendmsg.api.schema import ALWAYS, BODY, IDEMPOTENCY, LIST, problems


@pytest.fixture(scope="module")
def document() -> Any:
    generator: Any = SchemaGenerator
    return json.loads(json.dumps(generator(urlconf="tests.api.urls").get_schema(request=None, public=True)))


def test_the_document_is_valid(document: Any) -> None:
    validate(document)


def test_it_comes_without_a_warning(tmp_path: Any) -> None:
    call_command(
        "spectacular",
        "--validate",
        "--fail-on-warn",
        "--urlconf",
        "tests.api.urls",
        "--file",
        str(tmp_path / "openapi"),
    )


def test_an_endpoint_names_every_problem_with_an_example(document: Any) -> None:
    responses = document["paths"]["/v1/effects"]["post"]["responses"]

    named: set[str] = set()
    for status, response in responses.items():
        for example in response["content"].get("application/problem+json", {}).get("examples", {}).values():
            named.add(example["value"]["code"])
            assert str(example["value"]["status"]) == status
    assert named == {*ALWAYS, *BODY, *IDEMPOTENCY}


def test_problems_are_one_component_with_every_code(document: Any) -> None:
    components = document["components"]["schemas"]

    assert set(components["ProblemDocument"]["properties"]) >= {"type", "code", "errors", "request_id"}
    assert any(set(component.get("enum", ())) == set(KINDS) for component in components.values())


def test_a_post_takes_an_idempotency_key_and_may_be_a_replay(document: Any) -> None:
    post = document["paths"]["/v1/effects"]["post"]

    (parameter,) = (one for one in post["parameters"] if one["name"] == "Idempotency-Key")
    assert (parameter["in"], parameter.get("required", False)) == ("header", False)
    assert parameter["schema"]["maxLength"] == 255
    assert "Idempotency-Replayed" in post["responses"]["202"]["headers"]


def test_every_answer_carries_the_request_id(document: Any) -> None:
    for operation in document["paths"]["/v1/effects"].values():
        assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())


def test_the_key_is_a_bearer_token(document: Any) -> None:
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert document["paths"]["/v1/effects"]["get"]["security"] == [{"ApiKey": []}]


def test_a_strict_body_is_documented_as_closed(document: Any) -> None:
    assert document["components"]["schemas"]["EffectRequest"]["additionalProperties"] is False


def test_a_list_is_a_page(document: Any) -> None:
    page = document["components"]["schemas"]["EffectPage"]
    parameters = {one["name"]: one for one in document["paths"]["/v1/effects"]["get"]["parameters"]}

    assert set(page["properties"]) == {"results", "next_cursor"}
    assert parameters["limit"]["schema"]["maximum"] == 100
    assert "cursor" in parameters


def test_problems_are_grouped_by_status() -> None:
    responses = problems(*LIST)

    assert {status for status, _ in responses} == {400, 401, 403, 406, 500, 503}
    assert {media_type for _, media_type in responses} == {"application/problem+json"}
