import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendmsg.embedded.postgres import EmbeddedPostgres
from tests.servers.obtain import scratch_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty, with a space in its path, and one that PostgreSQL's user may pass when we are root."""
    made = scratch_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def initialised() -> Iterator[Path]:
    """A folder in which PostgreSQL was started and stopped once."""
    made = scratch_folder()
    with EmbeddedPostgres(made, durable=False) as server:
        pass
    yield made
    server.remove()


@pytest.fixture
def postgres(initialised: Path, folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, not started; a copy, because making the data takes longest."""
    subprocess.run(["cp", "-a", f"{initialised}/.", folder], check=True)
    server = EmbeddedPostgres(folder, durable=False)
    yield server
    server.remove()
