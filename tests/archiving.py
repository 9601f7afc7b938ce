"""An archive in a folder, old days and old messages to put into it, and processes that are killed while they do."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from sendmsg.ids import first_id

if TYPE_CHECKING:
    from dispatch.models import Message
    from sendmsg.accounts.models import Account

OLD = datetime(2020, 1, 5, 12, tzinfo=UTC)
"""A time that everything leaves after, and that no other test writes at."""
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Path:
    """The folder of an archive that is only ours."""
    folder = tmp_path / "archive"
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {
        **settings.STORAGES,
        "archive": {**backend, "OPTIONS": {"location": str(folder), "allow_overwrite": True}},
    }
    return folder


@pytest.fixture
def old_days(transactional_db: None) -> Iterator[None]:
    """Takes the tables of the year 2020 away again: they outlive the emptying of tables."""
    yield
    from sendmsg.logs import partitions

    with connections["logs"].cursor() as cursor:
        for table in partitions.tables():
            if table.day.year == OLD.year:
                cursor.execute(f"DROP TABLE {table.name}")


def old_id(at: datetime = OLD) -> UUID:
    """The id of a message that was accepted then."""
    return UUID(int=first_id(at).int | uuid4().int & (1 << 60) - 1)


def make_old_message(account: "Account", at: datetime = OLD, **fields: Any) -> "Message":
    """A message that was delivered long ago, unless fields say otherwise."""
    from dispatch.states import State
    from tests.factories import make_message

    times = dict.fromkeys(("created_at", "updated_at", "due_at", "expires_at"), at)
    return make_message(account, **{"state": State.DELIVERED, "id": old_id(at), **times, **fields})


KILLED = """
import importlib, os, signal, django
django.setup()
from django.core.management import call_command

def end(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def wrapped(*args, **kwargs):
    global calls
    calls += 1
    if calls < {call}:
        return original(*args, **kwargs)
    if {after}:
        original(*args, **kwargs)
    end()

calls = 0
module, _, name = {point!r}.partition(":")
owner = importlib.import_module(module)
*path, name = name.split(".")
for step in path:
    owner = getattr(owner, step)
original = getattr(owner, name)
setattr(owner, name, wrapped)
call_command("archive", "run", "--once")
"""


def killed_at(point: str, folder: Path, after: bool = False, call: int = 1) -> None:
    """Run the archive's pump in a process that is killed (SIGKILL) before or after a call of `module:function`."""
    code = KILLED.format(point=point, after=after, call=call)
    command = [sys.executable, "-W", "ignore", "-c", code]
    process = subprocess.run(command, cwd=ROOT, env=_environment(folder), timeout=60, check=False)
    assert process.returncode == -9, f"{point} was not come by"


def _environment(folder: Path) -> dict[str, str]:
    urls = {"DATABASE_URL": "default", "LOGS_DATABASE_URL": "logs"}
    return {
        **os.environ,
        **{name: _url(connections[alias].settings_dict) for name, alias in urls.items()},
        "ARCHIVE_URL": f"file://{folder}",
    }


def _url(config: dict[str, Any]) -> str:
    user = quote(config["USER"] or "", safe="")
    password = f":{quote(config['PASSWORD'], safe='')}" if config["PASSWORD"] else ""
    port = f":{config['PORT']}" if config["PORT"] else ""
    return f"postgresql://{user}{password}@{quote(config['HOST'], safe='')}{port}/{config['NAME']}"


def run_once(step: Callable[[], int]) -> int:
    """Call `step` until nothing is left to do; how often it did something."""
    count = 0
    while step():
        count += 1
        assert count < 1000, "it never ends"
    return count
