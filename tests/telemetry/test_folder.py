"""The folder that processes count in: what is in it is added up once, whoever lives, and whatever else lies there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sendmsg.telemetry import exposition, folder
from tests.docs.pages import ROOT
from tests.telemetry.scrapes import parse

ACCEPTED = "sendmsg_messages_accepted_total,sms,live"
COUNT = "from sendmsg.telemetry import metrics; metrics.ACCEPTED.labels('sms', 'live').inc({})"
UNUSED = 4_194_304  # over the greatest number that Linux gives a process


@pytest.fixture(autouse=True)
def _shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))


def count(number: int) -> None:
    subprocess.run([sys.executable, "-c", COUNT.format(number)], cwd=ROOT, check=True, timeout=30)


def accepted() -> float | None:
    return parse(exposition.text().decode()).get(ACCEPTED)


def test_what_ended_processes_counted_is_kept_in_one_file_of_a_kind(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        count(number)
        assert accepted() == number * (number + 1) / 2

    assert {path.name for path in tmp_path.glob("*.db")} == {"counter_ended.db", "histogram_ended.db"}


def test_a_process_that_gets_a_number_again_goes_on_counting(tmp_path: Path) -> None:
    count(2)
    [file] = tmp_path.glob("counter_*.db")
    file.rename(tmp_path / f"counter_{os.getpid()}.db")

    assert accepted() == 2
    assert (tmp_path / f"counter_{os.getpid()}.db").exists()


@pytest.mark.parametrize("number", [os.getpid(), UNUSED], ids=["of one that lives", "of one that ended"])
def test_a_file_that_was_only_begun_is_passed_over(tmp_path: Path, number: int) -> None:
    count(2)
    (tmp_path / f"counter_{number}.db").touch()
    (tmp_path / f"histogram_{number}.db").touch()

    assert accepted() == 2


def test_what_an_ended_process_measured_is_dropped(tmp_path: Path) -> None:
    (tmp_path / f"gauge_all_{UNUSED}.db").touch()

    exposition.text()

    assert not list(tmp_path.glob("gauge_*"))


def test_a_draft_that_a_crash_left_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "counter_ended.draft").write_bytes(b"half of it")
    count(2)

    assert accepted() == 2
    assert accepted() == 2
