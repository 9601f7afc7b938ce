"""What Prometheus reads of this process, or of all that share `PROMETHEUS_MULTIPROC_DIR`, and who may read it."""

import hmac
import os
from pathlib import Path
from typing import Final

from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from sendmsg.telemetry import folder, measured

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNAUTHORIZED: Final = "a bearer token is needed\n"

REGISTRY.register(measured.MEASURED)


def permits(authorization: str) -> bool:
    """Whether the header carries `METRICS_TOKEN`; anything does where that is empty."""
    token = settings.METRICS_TOKEN
    return not token or hmac.compare_digest(authorization.encode("utf-8", "replace"), f"Bearer {token}".encode())


def text() -> bytes:
    """All metrics, in Prometheus' text format."""
    shared = os.environ.get(folder.VARIABLE)
    if shared is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    with folder.swept(Path(shared)):
        registry.register(folder.Shared(Path(shared)))
        registry.register(measured.MEASURED)
        return generate_latest(registry)
