"""What every endpoint of the sandbox provider does alike: key, body limit, error shape."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from sendmsg.sandbox.ledger import Ledger
from sendmsg.sandbox.protocol import MAX_BODY
from sendmsg.sandbox.receipts import Receipts
from sendmsg.sandbox.scenarios import Pause, Refusal


@dataclass(slots=True)
class Provider:
    """What the handlers share. `latency` in seconds; `receipt_url` is for messages that bring none."""

    authorization: bytes
    ledger: Ledger
    receipts: Receipts
    pauses: Mapping[Pause, float]
    latency: float = 0.0
    receipt_url: str | None = None
    answering: int = 0  # sends whose answer is still to come


@stream_request_body
class Endpoint(RequestHandler):
    """Key and error shape. A body over its limit is read and dropped, so that its sender can read why."""

    def initialize(self, provider: Provider) -> None:
        self.provider = provider
        self.chunks: list[bytes] = []
        self.size = 0

    def set_default_headers(self) -> None:
        self.set_header("Server", "SendMSG-Sandbox")

    def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size <= MAX_BODY:
            self.chunks.append(chunk)
        else:
            self.chunks.clear()

    @property
    def authorized(self) -> bool:
        given = self.request.headers.get("Authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(given, self.provider.authorization)

    def refuse(self, refusal: Refusal) -> None:
        self.set_status(refusal.status)
        if refusal.retry_after is not None:
            self.set_header("Retry-After", str(refusal.retry_after))
        self.finish({"error": {"code": refusal.code, "message": refusal.message}})

    def write_error(self, status_code: int, **_: Any) -> None:
        codes = {404: "not_found", 405: "method_not_allowed"}
        self.refuse(Refusal(status_code, codes.get(status_code, "internal"), self._reason))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not isinstance(value, HTTPError):  # a client's mistake is answered, not logged
            super().log_exception(typ, value, tb)


class Missing(Endpoint):
    """Answers as late as the others do: an answer before the body was read would cost the connection."""

    def get(self) -> None:
        self.send_error(404)

    head = post = put = patch = delete = options = get
