import contextlib
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sendmsg.embedded.postgres import EmbeddedPostgres
from sendmsg.embedded.process import HOST, EmbeddedServerError, processes_in
from tests.embedded.runs import killed_run
from tests.servers.ports import taken
from tests.waiting import eventually

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux ends the children of a killed process")


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(folder, durable=False)
    yield made
    made.remove()
    folder.mkdir(exist_ok=True)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_it_starts_makes_databases_and_keeps_data_and_address_over_a_restart(server: EmbeddedPostgres) -> None:
    url = server.url("ünï côdé")
    server.start()
    server.create_database("ünï côdé")
    query(url, "CREATE TABLE kept AS SELECT 42 AS answer")

    server.stop()
    assert not server.is_running()
    server.start()
    server.create_database("ünï côdé")

    assert server.url("ünï côdé") == url
    assert query(url, "SELECT answer, current_setting('TimeZone'), 'ß' < 'zz' COLLATE \"C\" FROM kept") == [
        (42, "UTC", False)
    ]
    server.drop_database("ünï côdé")
    server.drop_database("ünï côdé")
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        query(url, "SELECT 1")


def test_what_was_committed_survives_kill_9_and_no_process_does(server: EmbeddedPostgres) -> None:
    server.start()
    query(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS answer")
    busy = psycopg2.connect(server.url("postgres"))

    server.kill()

    assert processes_in(server.data, "postgres") == []
    server.start()
    assert query(server.url("postgres"), "SELECT answer FROM kept") == [(42,)]
    busy.close()


def test_it_can_be_started_again_when_it_was_killed_by_somebody_else(server: EmbeddedPostgres) -> None:
    server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not server.is_running(), "it is dead")

    server.start()

    assert query(server.url("postgres"), "SELECT 1") == [(1,)]


def test_other_users_of_the_machine_do_not_get_in(server: EmbeddedPostgres) -> None:
    server.start()

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(server.url("postgres").replace(server.password, "guessed"), "SELECT 1")
    assert query(server.url("postgres"), "SHOW unix_socket_directories") == [("",)]
    assert query(server.url("postgres"), "SHOW listen_addresses") == [(HOST,)]
    for name in ("access.json", "server.log"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


def test_its_log_holds_no_statement_and_no_row(server: EmbeddedPostgres) -> None:
    server.start()
    query(server.url("postgres"), "CREATE TABLE texts (text text PRIMARY KEY)")

    with pytest.raises(psycopg2.errors.UniqueViolation):
        query(server.url("postgres"), "INSERT INTO texts VALUES ('private'), ('private')")

    log = (server.folder / "server.log").read_text()
    assert "duplicate key" in log
    assert "private" not in log


@pytest.mark.parametrize("durable", [True, False])
def test_durability_is_on_unless_a_test_gives_it_up(folder: Path, durable: bool) -> None:
    server = EmbeddedPostgres(folder, durable=durable)
    try:
        server.start()
        shown = [query(server.url("postgres"), f"SHOW {name}")[0][0] for name in ("fsync", "full_page_writes")]
        assert shown == (["on", "on"] if durable else ["off", "off"])
        assert query(server.url("postgres"), "SHOW synchronous_commit") == [("on",)]
    finally:
        server.remove()
    folder.mkdir()


def test_a_second_run_on_the_same_folder_is_refused_and_harms_nothing(server: EmbeddedPostgres) -> None:
    server.start()

    with pytest.raises(EmbeddedServerError, match="in use by another run"):
        EmbeddedPostgres(server.folder, durable=False).start()

    assert query(server.url("postgres"), "SELECT 1") == [(1,)]


@linux
def test_it_ends_when_its_run_is_killed_and_starts_again(server: EmbeddedPostgres) -> None:
    killed_run("sendmsg.embedded.postgres", "EmbeddedPostgres", server.folder, orphan=False)
    eventually(lambda: processes_in(server.data, "postgres") == [], "no process is left")

    server.start()

    assert query(server.url("postgres"), "SELECT 1") == [(1,)]


def test_an_orphan_of_a_killed_run_is_ended_by_the_next_start(server: EmbeddedPostgres) -> None:
    orphan = killed_run("sendmsg.embedded.postgres", "EmbeddedPostgres", server.folder, orphan=True)
    assert orphan in processes_in(server.data, "postgres")

    server.start()

    assert orphan not in processes_in(server.data, "postgres")
    assert query(server.url("postgres"), "SELECT 1") == [(1,)]


def test_the_standard_port_is_left_to_others(server: EmbeddedPostgres) -> None:
    with taken(5432):
        server.start()
        assert query(server.url("postgres"), "SELECT 1") == [(1,)]


def test_a_port_that_somebody_took_meanwhile_is_replaced_at_the_next_run(folder: Path, server: EmbeddedPostgres) -> None:
    taken = server.port
    later = EmbeddedPostgres(folder, durable=False)
    with socket.create_server((HOST, taken)):
        later.start()
        assert later.port != taken
        assert later.password == server.password
    later.stop()


def test_a_start_that_fails_says_why_and_leaves_no_process(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedServerError, match=r"(?s)PostgreSQL did not start.*no_such_setting"):
        server.start()

    assert processes_in(server.data, "postgres") == []
