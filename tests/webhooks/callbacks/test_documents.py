"""The OpenAPI document says what callbacks say."""

import json
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from dispatch import transitions
from dispatch.changes import Change
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.faults import FaultServer
from tests.webhooks.callbacks.driving import make_endpoint, sent_message, told, work_off
from webhooks.callbacks import outbox
from webhooks.callbacks.vocabulary import Kind


@cache
def document() -> Any:
    generator: Any = SchemaGenerator  # untyped
    return json.loads(json.dumps(generator().get_schema(request=None, public=True)))


def payload_schema(webhook: dict[str, Any]) -> Any:
    reference = webhook["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return {"$ref": reference, "components": document()["components"]}


def kinds(webhook: dict[str, Any]) -> set[str]:
    schemas = document()["components"]["schemas"]
    name = payload_schema(webhook)["$ref"].rpartition("/")[2]
    field = schemas[name]["properties"]["type"]
    return set(field["enum"] if "enum" in field else schemas[field["$ref"].rpartition("/")[2]]["enum"])


def test_it_is_valid_and_has_every_kind_once() -> None:
    validate(document())

    named = sorted(kind for webhook in document()["webhooks"].values() for kind in kinds(webhook))
    assert named == sorted(kind.value for kind in Kind)


@pytest.mark.django_db
def test_what_arrives_is_what_it_says(acme: Account, receiver: FaultServer) -> None:
    endpoint = make_endpoint(acme, receiver.url)
    for state, code in ((State.DELIVERED, ""), (State.UNDELIVERED, "absent_subscriber")):
        transitions.apply([Change(sent_message(acme).id, state, code=code)])
    outbox.announce(acme.id, False, Kind.ENDPOINT_DISABLED, {"id": str(endpoint.id), "url": "u", "reason": "gone"})
    outbox.test(endpoint)
    work_off()

    assert len(told(receiver)) == 4
    for payload in told(receiver):
        [webhook] = [one for one in document()["webhooks"].values() if payload["type"] in kinds(one)]
        OAS31Validator(payload_schema(webhook)).validate(payload)
