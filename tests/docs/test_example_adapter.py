"""The adapter in docs/adding-a-provider.md is whole: it passes the contract that every adapter passes."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from dispatch.providers.base import Provider
from tests.dispatch.providers.contract import ProviderContract
from tests.docs.pages import DOCS
from tests.faults import Fault, Received, Wire, answer, json_answer


def example() -> type[Provider]:
    [source] = DOCS["adding-a-provider"].blocks("python")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "docs/adding-a-provider.md", "exec"), names)
    found: type[Provider] = names["AcmeProvider"]
    return found


class TestExample(ProviderContract):
    provider = example()
    credentials: ClassVar[Mapping[str, str]] = {"token": "spk_4f9c0d1e2b3a"}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": json_answer(400, {"error": "no_such_number"}),
        "content_rejected": json_answer(400, {"error": "blocked"}),
        "invalid_request": json_answer(400, {"error": "a_word_from_the_future"}),
    }
    unauthorized = (json_answer(401, {}), json_answer(403, {}))
    unavailable = (json_answer(503, {}), json_answer(404, {}))
    doubtful = (json_answer(500, {}), answer(502), answer(504))
    idless = (json_answer(202, {}), json_answer(202, {"id": ""}))

    def accept(self, wire: Wire) -> bool:
        return json_answer(202, {"id": self.provider_id(UUID(wire.request.json()["reference"]))})(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return json_answer(429, {}, headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.json()["reference"]]

    def text(self, request: Received) -> str:
        return str(request.json()["text"])
