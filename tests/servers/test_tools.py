"""`promtool` and `amtool`: used where they are, installed where that is possible, and else a line says how."""

from pathlib import Path

import pytest

from tests.servers import debian, tools
from tests.servers.errors import NoServer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that there is of programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "can_install", lambda: False)
    return tmp_path


def make(folder: Path, program: str) -> str:
    path = folder / program
    path.touch(mode=0o755)
    return str(path)


def test_a_program_that_is_there_is_used(folder: Path) -> None:
    path = make(folder, "promtool")

    assert tools.obtain("promtool") == path


def test_a_program_that_is_missing_is_installed_by_its_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"prometheus-alertmanager": "amtool"}
    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", lambda package: make(folder, made[package]))

    assert tools.obtain("amtool") == str(folder / "amtool")


def test_without_any_way_to_a_program_one_line_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(NoServer, match=r"apt-get install prometheus; macOS: brew install prometheus\)$"):
        tools.obtain("promtool")


def test_why_it_could_not_be_installed_is_said_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(package: str) -> None:
        raise NoServer("no network")

    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", fail)

    with pytest.raises(NoServer, match=r"\(no network\)$"):
        tools.obtain("amtool")
