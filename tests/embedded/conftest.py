import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.obtain import scratch_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty, with a space in its path, and one that PostgreSQL's user may pass when we are root."""
    made = scratch_folder()
    yield made
    shutil.rmtree(made)
