"""PostgreSQL as `docker/` ships it, fsync included: what is measured on another one says nothing of what users get."""

import re
from pathlib import Path

from sendmsg.embedded.postgres import SETTINGS, EmbeddedPostgres

FOLDER = Path(__file__).resolve().parents[2] / "docker/postgres"


def shipped(name: str = "default") -> dict[str, str]:
    """The settings of that server's file, by name."""
    lines = re.findall(r"^(\w+) = '?([^'\n]*)'?$", (FOLDER / f"{name}.conf").read_text(), re.MULTILINE)
    return dict(lines)


class ShippedPostgres(EmbeddedPostgres):
    settings = (*(f"{name}={value}" for name, value in shipped().items()), *SETTINGS)  # the later ones count
