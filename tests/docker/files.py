"""What `docker/` says, as data."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sendmsg.variables import VARIABLES
from tests.docs.pages import ROOT

DOCKER = ROOT / "docker"
OURS = "sendmsg"
"""The image of our own processes, and the name of their containers."""

ELSEWHERE = {"PROMETHEUS_MULTIPROC_DIR", "HEARTBEAT_PATH"}
"""Variables that our processes read and that are no settings (docs/settings.md, "Elsewhere")."""

REQUIRED = {
    *(variable.name for variable in VARIABLES if variable.default is None),
    *("DATABASE_URL", "LOGS_DATABASE_URL", "REDIS_URL", "BROKER_URL", "PUBLIC_URL", "ALLOWED_HOSTS", "METRICS_TOKEN"),
    *ELSEWHERE,
}
"""What every process of ours is told in production: what has no default, and what has one for this machine only."""

SECRET = {"SECRET_KEY", "CREDENTIALS_KEYS", "DATABASE_URL", "LOGS_DATABASE_URL", "REDIS_URL", "BROKER_URL"} | {
    "METRICS_TOKEN",
    "FLOWER_BASIC_AUTH",
}
"""What comes by file and never by value: an environment is shown by `docker inspect` and in every crash report."""


COMING = (
    set()
    if (ROOT / "sendmsg/telemetry/port.py").exists()
    else {"METRICS_PORT", "measure", "./prometheus", "./alertmanager", "./grafana"}
)
"""What is made elsewhere at the same time; nothing of it may be missing once it is here."""


@functools.cache
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def our_services() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if f"{OURS}:" in service["image"]}


def default_of(text: str) -> str:
    """Text with `${NAME:-default}` replaced by its default, as Compose does where nobody sets NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of each volume of a service."""
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        yield source, target


def manage(command: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each `manage.py` command in a command line, and its flags; a shell's line may have many."""
    for name, rest in re.findall(r"manage\.py (\w+)([^&]*)", " ".join(command)):
        yield name, re.findall(r"--[a-z-]+", rest)


def yaml_files() -> list[Path]:
    return sorted(path for pattern in ("*.yaml", "*.yml") for path in DOCKER.rglob(pattern))


def json_files() -> list[Path]:
    return sorted(DOCKER.rglob("*.json"))


def documents(path: Path) -> list[Any]:
    if path.suffix == ".json":
        return [json.loads(path.read_text())]
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
