"""A fake provider that takes a thousand recipients in a call, by Infobip's wire format; in a process of its own."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.bench.apart import Apart


class BatchProvider(Apart):
    """`latency` in seconds."""

    def __init__(self, latency: float) -> None:
        super().__init__(_serve, latency)


def _serve(port: int, latency: float) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(latency)
            taken = [
                {"messageId": one["messageId"], "status": {"groupName": "PENDING", "name": "PENDING_ACCEPTED"}}
                for message in asked["messages"]
                for one in message["destinations"]
            ]
            self._answer(200, json.dumps({"messages": taken}).encode())

        def do_GET(self) -> None:
            self._answer(404, b"{}")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
