"""docker/compose.yaml against the specification, the settings, the commands, the code and the docs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from dispatch.worker import DRAIN_WITHIN
from sendmsg import __version__
from sendmsg.environment import read_environment
from sendmsg.management.commands.web import KILL_AFTER
from sendmsg.variables import VARIABLES
from tests.docker.files import (
    COMING,
    DOCKER,
    ELSEWHERE,
    REQUIRED,
    SECRET,
    compose,
    default_of,
    documents,
    json_files,
    manage,
    mounts,
    our_services,
    services,
    yaml_files,
)
from tests.docs.pages import DOCS, README, codes
from tests.docs.test_docs import flags_of

every_service = pytest.mark.parametrize("name", sorted(services()))
every_service_of_ours = pytest.mark.parametrize("name", sorted(our_services()))
ONCE = {"migrate"}
"""Services that do one thing and end."""
INSTEAD = {"alerts"}
"""Processes whose work another service does here: Alertmanager's."""
UNCHECKED = ONCE | {"otel-collector"}
"""Services that nothing can ask from inside."""


@pytest.mark.parametrize("path", [*yaml_files(), *json_files()], ids=lambda path: str(path.relative_to(DOCKER)))
def test_every_file_can_be_read(path: Path) -> None:
    assert all(document for document in documents(path))


def test_it_is_as_the_specification_has_it() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            DOCKER / "compose.yaml",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@every_service
def test_what_a_service_names_exists(name: str) -> None:
    service, everything = services()[name], compose()
    named = {secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", ())}
    volumes = {source for source, _ in mounts(service) if not source.startswith(".")}

    assert named <= set(everything["secrets"])
    assert set(service["networks"]) <= set(everything["networks"])
    assert volumes <= set(everything["volumes"])
    assert set(service.get("depends_on", ())) <= set(services())
    for source, _ in mounts(service):
        assert not source.startswith(".") or source in COMING or (DOCKER / source).exists(), source


def test_a_service_that_another_waits_for_says_when_it_is_ready() -> None:
    for name, service in services().items():
        for other, wanted in service.get("depends_on", {}).items():
            needed = services()[other]
            if wanted["condition"] == "service_completed_successfully":
                assert other in ONCE
            else:
                assert wanted["condition"] == "service_healthy"
                assert "test" in needed["healthcheck"]
            assert set(needed.get("profiles", ())) <= set(service.get("profiles", ())), (name, other)


@pytest.mark.parametrize("kind", ["secrets", "volumes", "networks"])
def test_nothing_is_declared_and_not_used(kind: str) -> None:
    used = " ".join(str(service) for service in services().values())

    assert [name for name in compose()[kind] if f"'{name}'" not in used and f"'{name}:" not in used] == []


@every_service
def test_an_image_is_pinned_to_a_whole_version(name: str) -> None:
    tag = default_of(services()[name]["image"]).rpartition(":")[2]

    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z0-9-]+)?", tag), tag


def test_our_image_is_of_this_version() -> None:
    assert {default_of(service["image"]) for service in our_services().values()} == {f"sendmsg:{__version__}"}


@every_service
def test_a_service_is_bounded_ends_in_order_and_does_not_fill_the_disk(name: str) -> None:
    service = services()[name]
    limits = service["deploy"]["resources"]["limits"]

    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


@every_service
def test_a_service_that_runs_for_ever_has_a_health_check(name: str) -> None:
    check = services()[name]["healthcheck"]

    if name in UNCHECKED:
        assert check == {"disable": True}
    else:
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}


@every_service_of_ours
def test_a_process_of_ours_is_told_all_it_needs_and_nothing_it_does_not_read(name: str) -> None:
    environment = our_services()[name]["environment"]
    told = {key.removesuffix("_FILE") for key in environment}
    known = {variable.name for variable in VARIABLES} | ELSEWHERE | COMING

    assert told <= known
    assert told >= REQUIRED
    assert {key for key in environment if key.removesuffix("_FILE") in SECRET} == {
        f"{key}_FILE" for key in told & SECRET
    }


@every_service_of_ours
def test_a_secret_by_file_is_mounted_where_the_process_looks(name: str) -> None:
    service = our_services()[name]
    wanted = {path for key, path in service["environment"].items() if key.endswith("_FILE")}

    assert wanted == {f"/run/secrets/{secret}" for secret in service["secrets"]}


@every_service_of_ours
def test_its_settings_can_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "secrets"
    subprocess.run([DOCKER / "secrets.sh", made], check=True, capture_output=True, timeout=60)
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    for key, value in our_services()[name]["environment"].items():
        monkeypatch.setenv(key, default_of(value).replace("/run/secrets", str(made)))

    values = read_environment(VARIABLES, tmp_path / "no .env")

    assert values["DATABASE_URL"]["HOST"] in services()
    assert values["LOGS_DATABASE_URL"]["HOST"] in services()
    assert values["DATABASE_URL"]["HOST"] != values["LOGS_DATABASE_URL"]["HOST"]
    assert {values[key].partition("@")[2].partition(":")[0] for key in ("REDIS_URL", "BROKER_URL")} <= set(services())
    assert "web" in values["ALLOWED_HOSTS"]  # who asks inside asks by that name


@every_service_of_ours
def test_its_command_exists_with_its_flags(name: str) -> None:
    command = our_services()[name]["command"]
    assert list(manage(command))
    for word, flags in manage(command):
        if word in COMING:
            continue
        app = get_commands()[word]
        loaded: Any = load_command_class(app, word) if isinstance(app, str) else app
        assert set(flags) <= flags_of(loaded.create_parser("manage.py", word))


def test_every_process_that_runs_for_ever_is_a_service() -> None:
    rows = DOCS["commands"].rows("Command", section="That run for ever")
    wanted = {code.removeprefix("manage.py ") for code in codes(rows)}
    running = [service["command"] for name, service in our_services().items() if name not in ONCE]
    started = {word for command in running for word, _ in manage(command)}

    assert started - COMING == wanted - COMING - INSTEAD


def test_workers_are_of_regions_and_drain_before_they_are_killed() -> None:
    workers = {name: service for name, service in our_services().items() if "worker" in service["command"]}
    grace = {name: int(service["stop_grace_period"].removesuffix("s")) for name, service in our_services().items()}

    assert len({service["environment"]["REGION"] for service in workers.values()}) == len(workers) > 1
    assert all(grace[name] > DRAIN_WITHIN for name in workers)
    assert grace["web"] > KILL_AFTER


@every_service_of_ours
def test_a_process_of_ours_has_no_rights_and_writes_only_where_it_must(name: str) -> None:
    service = our_services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    written = {path.partition(":")[0] for path in service["tmpfs"]} | {target for _, target in mounts(service)}
    environment = service["environment"]
    assert environment["PROMETHEUS_MULTIPROC_DIR"] in written
    assert str(Path(environment["HEARTBEAT_PATH"]).parent) in written


def test_web_and_receipts_share_the_spool() -> None:
    for name in ("web", "receipts"):
        service = our_services()[name]
        assert ("spool", service["environment"]["RECEIPTS_SPOOL_DIR"]) in set(mounts(service))


def test_who_calls_the_world_can_and_who_does_not_cannot() -> None:
    outside = {name for name, service in services().items() if "outside" in service["networks"]}

    assert compose()["networks"]["inside"] == {"internal": True}
    assert {"web", "worker-eu", "worker-us", "callbacks", "receipts", "reconcile"} <= outside
    assert not outside & {"relay", "logwriter", "deadletters", "db", "logs-db", "redis"}


def test_ports_are_open_on_this_host_only_and_as_the_docs_have_them() -> None:
    published = {port for service in services().values() for port in service.get("ports", ())}
    shown = {codes([row])[0]: row[1] for row in DOCS["operations"].rows("Service", "Port", section="In containers")}

    assert all(port.startswith("127.0.0.1:") for port in published)
    found = {name: service["ports"][0].split(":")[1] for name, service in services().items() if "ports" in service}
    assert found == shown
    for port in ("8000", "5555"):
        assert any(f":{port}" in row[1] or f"--port {port}" in row[1] for row in README.rows("Process"))


@pytest.mark.skipif("./prometheus" in COMING, reason="there is no configuration of Prometheus yet")
def test_prometheus_finds_every_process_and_server() -> None:
    [found] = documents(DOCKER / "prometheus/prometheus.yml")
    scraped: set[tuple[str, str]] = set()
    for job in found["scrape_configs"]:
        for group in job.get("static_configs", ()):
            scraped |= {tuple(target.split(":")) for target in group["targets"]}
        for group in job.get("dns_sd_configs", ()):
            scraped |= {(name, str(group["port"])) for name in group["names"]}
    pumps = {name for name in our_services() if name not in ONCE | {"web", "flower"}}
    port = our_services()["relay"]["environment"]["METRICS_PORT"]

    assert scraped == {("web", "8000"), ("rabbitmq", "15692"), *((name, port) for name in pumps)}
    secrets = {job["authorization"]["credentials_file"] for job in found["scrape_configs"] if "authorization" in job}
    assert secrets == {f"/run/secrets/{secret}" for secret in services()["prometheus"]["secrets"]}


def test_flower_has_its_password_and_nobody_else() -> None:
    holders = {name for name, service in services().items() if "flower_basic_auth" in service.get("secrets", ())}

    assert holders == {"flower"}


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    def run() -> dict[str, str]:
        subprocess.run([DOCKER / "secrets.sh", tmp_path / "made"], check=True, capture_output=True, timeout=60)
        return {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}

    first = run()

    assert run() == first
    assert set(first) == {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    passwords = [first[name].strip() for name in ("db_password", "logs_db_password", "grafana_password", "secret_key")]
    assert len(set(passwords)) == 4
    assert min(len(password) for password in passwords) >= 48
    assert passwords[0] in first["database_url"]
