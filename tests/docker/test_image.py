"""docker/Dockerfile, as far as its text goes: nothing here can build an image."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.docker.files import DOCKER, our_services
from tests.docs.pages import README, ROOT

TEXT = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
STAGES = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]
IGNORED = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()


def test_the_base_is_one_pinned_image_of_a_python_that_we_support() -> None:
    bases = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert bases[0] == "python:3.13.9-slim-bookworm"
    assert set(bases[1:]) == {"base"}
    assert project["requires-python"] == ">=3.11,<3.14"


def test_packages_are_installed_by_their_hashes_apart_from_the_image() -> None:
    assert "--require-hashes" in STAGES[1]
    assert not re.search(r"^RUN .*\b(pip|apt-get)\b", STAGES[-1], re.MULTILINE)
    assert "--hash=sha256:" in (DOCKER / "requirements.txt").read_text()


def test_every_extra_that_a_setting_may_need_is_in_the_image() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    locked = (DOCKER / "requirements.txt").read_text()

    for name in set(extras) - {"dev", "embedded"}:
        for package in extras[name]:
            assert f"\n{re.split(r'[^a-z0-9-]', package)[0]}" in locked, package


def test_it_runs_as_nobody_special_and_says_so_by_number() -> None:
    users = re.findall(r"^USER (\S+)$", STAGES[-1], re.MULTILINE)

    assert users == ["10001:10001"]
    for service in our_services().values():
        assert "user" not in service
        for tmpfs in service["tmpfs"]:
            assert "uid=10001,gid=10001" in tmpfs or "mode=1777" in tmpfs


def test_static_files_are_collected_while_it_is_built() -> None:
    assert "collectstatic" in STAGES[2]


def test_what_is_copied_exists_and_is_let_in() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", TEXT, re.MULTILINE)

    assert set(copied) == {"docker/requirements.txt", "manage.py", "sendmsg", "dispatch", "webhooks"}
    assert all((ROOT / path).exists() for path in copied)
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(copied)
    assert "*" in IGNORED


def test_no_secret_is_left_in_a_layer() -> None:
    assert not re.search(r"^(ENV|ARG) .*(SECRET|KEY|PASSWORD|TOKEN)", TEXT, re.MULTILINE)


def test_its_command_is_the_web_process_of_the_readme() -> None:
    [command] = re.findall(r"^CMD (\[.*\])$", STAGES[-1], re.MULTILINE)

    assert " ".join(json.loads(command)) == next(row[1].strip("`") for row in README.rows("Process") if row[0] == "web")


@pytest.mark.parametrize("name", ["HEARTBEAT_PATH", "RECEIPTS_SPOOL_DIR"])
def test_its_paths_are_those_of_compose(name: str) -> None:
    [path] = re.findall(rf"\b{name}=(\S+)", STAGES[-1])

    assert {service["environment"][name] for service in our_services().values()} == {path}
    assert str(Path(path)) in STAGES[-1]


def test_its_own_check_is_that_of_the_web_service() -> None:
    [check] = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", STAGES[-1], re.MULTILINE)

    assert ["CMD", *json.loads(check)] == our_services()["web"]["healthcheck"]["test"]
