import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sendmsg.embedded.local import LocalFolder
from sendmsg.errors import ConfigurationError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_can_be_listed_by_its_owner_alone(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path / ".local") as local:
        local.read_secrets()

    assert mode(tmp_path / ".local") & 0o066 == 0
    assert mode(tmp_path / ".local" / "secrets.json") == 0o600


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with (
        LocalFolder.open(tmp_path),
        pytest.raises(ConfigurationError, match=rf"already \(pid {os.getpid()}\)") as caught,
    ):
        LocalFolder.open(tmp_path)
    assert "\n" not in str(caught.value)

    with LocalFolder.open(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="can't be used: Not a directory"):
        LocalFolder.open(tmp_path / "file" / ".local")


def test_secrets_are_made_once(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path / "one") as local, LocalFolder.open(tmp_path / "other") as other:
        first = local.read_secrets()

        assert local.read_secrets() == first
        assert other.read_secrets().secret_key != first.secret_key
    assert len(first.secret_key) >= 50
    Fernet(first.credentials_key)  # or it raises


def test_keys_are_remembered(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path) as local:
        before = local.read_secrets()
        assert (before.live_key, before.test_key) == ("", "")

        local.remember_keys(before, live="smk_live_x", test="smk_test_x")

        after = local.read_secrets()
        assert (after.live_key, after.test_key) == ("smk_live_x", "smk_test_x")
        assert after.secret_key == before.secret_key


def test_a_secret_that_is_missing_is_made_and_the_others_stay(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path) as local:
        before = local.read_secrets()
        (tmp_path / "secrets.json").write_text(f'{{"secret_key": "{before.secret_key}", "of_a_later_version": 1}}')

        after = local.read_secrets()

    assert after.secret_key == before.secret_key
    assert after.admin_password


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"secret_key": '])
def test_unreadable_secrets_are_refused_and_kept(tmp_path: Path, text: str) -> None:
    with LocalFolder.open(tmp_path) as local:
        (tmp_path / "secrets.json").write_text(text)

        with pytest.raises(ConfigurationError, match=r"secrets.json can't be read .*: delete it"):
            local.read_secrets()

    assert (tmp_path / "secrets.json").read_text() == text


def test_secrets_stay_out_of_repr(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path) as local:
        assert repr(local.read_secrets()) == "Secrets()"


def test_metrics_of_processes_that_ended_are_dropped(tmp_path: Path) -> None:
    with LocalFolder.open(tmp_path) as local:
        local.clear_metrics()
        (local.metrics / "counter_1.db").touch()

        local.clear_metrics()

        assert list(local.metrics.iterdir()) == []
