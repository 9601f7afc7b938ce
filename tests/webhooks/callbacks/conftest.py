"""What the tests of callbacks share: receivers on the loopback, which a gateway calls only where it was told so."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults import FaultServer


@pytest.fixture
def loopback(settings: Any) -> None:
    """Receivers may be at http URLs and private addresses."""
    settings.CALLBACKS_ALLOW_HTTP = True
    settings.CALLBACKS_ALLOW_PRIVATE = True


@pytest.fixture
def receiver(loopback: None) -> Iterator[FaultServer]:
    """A client's program that answers 200."""
    with FaultServer() as server:
        yield server
