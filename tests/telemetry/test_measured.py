"""What was measured last is what is shown, as a whole, and not for ever."""

import json
import time
from pathlib import Path

import pytest

from sendmsg.telemetry import exposition, folder, gauges, measured
from sendmsg.telemetry.gauges import Reading
from sendmsg.telemetry.measured import FRESH, MEASURED
from tests.telemetry.scrapes import Samples, parse

MAIN, BACKUP = Reading(gauges.BREAKER, 2, ("main",)), Reading(gauges.BREAKER, 0, ("backup",))


@pytest.fixture(params=["in memory", "in a folder"])
def _kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(folder.VARIABLE, raising=False)
    if request.param == "in a folder":
        monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    monkeypatch.setattr(MEASURED, "_at", 0.0)
    monkeypatch.setattr(MEASURED, "_readings", ())


def shown() -> Samples:
    return {name: value for name, value in parse(exposition.text().decode()).items() if "breaker_state" in name}


@pytest.mark.usefixtures("_kept")
def test_a_measurement_replaces_the_one_before_as_a_whole() -> None:
    assert shown() == {}

    MEASURED.replace([MAIN, BACKUP], time.time())
    assert shown() == {"sendmsg_breaker_state,main": 2, "sendmsg_breaker_state,backup": 0}

    MEASURED.replace([BACKUP], time.time())
    assert shown() == {"sendmsg_breaker_state,backup": 0}


@pytest.mark.usefixtures("_kept")
def test_an_old_measurement_vanishes_with_its_time() -> None:
    at = time.time() - FRESH + 30
    MEASURED.replace([MAIN], at)
    assert shown()
    assert parse(exposition.text().decode())["sendmsg_measured_at_seconds"] == pytest.approx(at)

    MEASURED.replace([MAIN], time.time() - FRESH - 1)

    text = exposition.text().decode()
    assert "sendmsg_breaker_state" not in text
    assert "sendmsg_measured_at_seconds" not in text


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"at": 1e12, "readings": [["a_gauge_of_tomorrow", 1, []]]}', '{"at": 1, "readings": 7}']
)
def test_a_file_that_is_of_no_use_shows_nothing(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    (tmp_path / measured.FILE).write_text(text)

    assert shown() == {}


def test_a_reading_of_other_labels_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    rows = [["sendmsg_breaker_state", 1, ["main", "sms"]], ["sendmsg_breaker_state", 1, ["main"]]]
    (tmp_path / measured.FILE).write_text(json.dumps({"at": time.time(), "readings": rows}))

    assert shown() == {"sendmsg_breaker_state,main": 1}
