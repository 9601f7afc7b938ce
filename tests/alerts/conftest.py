"""`promtool` and `amtool`: without them the tests fail and say how to get them."""

import subprocess
from collections.abc import Callable

import pytest

from tests.servers.tools import obtain

Tool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool() -> Tool:
    return _runs(obtain("promtool"))


@pytest.fixture(scope="session")
def amtool() -> Tool:
    return _runs(obtain("amtool"))


def _runs(program: str) -> Tool:
    def run(*arguments: str) -> str:
        """What it answered; a failure of it is one of the test."""
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
