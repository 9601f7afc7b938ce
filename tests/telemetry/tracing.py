"""Tracing for a test, as in a process of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.telemetry.receiver import Receiver


@pytest.fixture
def collector(settings: Any) -> Iterator[Receiver]:
    """Where this process sends its spans during the test; it has all of them after `otlp.close`."""
    from sendmsg.telemetry import otlp

    otlp.close()
    otlp._sampler.cache_clear()
    with Receiver() as server:
        settings.TRACES_ENDPOINT = server.url
        yield server
        otlp.close()
    otlp._sampler.cache_clear()
