import contextlib
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sendmsg.embedded.placement import place
from sendmsg.embedded.postgres import EmbeddedPostgres
from sendmsg.embedded.process import HOST, EmbeddedServerError, processes_in, spawn
from tests.embedded.runs import killed_run
from tests.servers.ports import taken
from tests.waiting import eventually

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux ends the children of a killed process")


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_it_starts_makes_databases_and_keeps_data_and_address_over_a_restart(postgres: EmbeddedPostgres) -> None:
    url = postgres.url("ünï côdé")
    postgres.start()
    postgres.create_database("ünï côdé")
    query(url, "CREATE TABLE kept AS SELECT 42 AS answer")

    postgres.stop()
    assert not postgres.is_running()
    postgres.start()
    postgres.create_database("ünï côdé")

    assert postgres.url("ünï côdé") == url
    assert query(url, "SELECT answer, current_setting('TimeZone'), upper('ß' || 'é') FROM kept") == [(42, "UTC", "ßÉ")]
    postgres.drop_database("ünï côdé")
    postgres.drop_database("ünï côdé")
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        query(url, "SELECT 1")


def test_what_was_committed_survives_kill_9_and_no_process_does(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    query(postgres.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS answer")
    busy = psycopg2.connect(postgres.url("postgres"))

    postgres.kill()

    assert processes_in(postgres.data, "postgres") == []
    postgres.start()
    assert query(postgres.url("postgres"), "SELECT answer FROM kept") == [(42,)]
    busy.close()


def test_it_can_be_started_again_when_it_was_killed_by_somebody_else(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    eventually(lambda: not postgres.is_running(), "it is dead")

    postgres.start()

    assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]


def test_it_starts_when_another_program_has_its_last_process_id(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.kill()
    account = place(postgres.folder).account
    other = spawn(["/bin/sleep", "60"], folder=Path("/"), output=subprocess.DEVNULL, environment={}, account=account)
    pid_file = postgres.data / "postmaster.pid"
    _, *rest = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(other.pid), *rest]) + "\n")

    postgres.start()

    assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]
    assert other.poll() is None
    other.kill()
    other.wait()


def test_other_users_of_the_machine_do_not_get_in(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(postgres.url("postgres").replace(postgres.password, "guessed"), "SELECT 1")
    assert query(postgres.url("postgres"), "SHOW unix_socket_directories") == [("",)]
    assert query(postgres.url("postgres"), "SHOW listen_addresses") == [(HOST,)]
    for name in ("access.json", "server.log"):
        assert stat.S_IMODE((postgres.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres.data.stat().st_mode) == 0o700


def test_its_log_holds_no_statement_and_no_row(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    query(postgres.url("postgres"), "CREATE TABLE texts (text text PRIMARY KEY)")

    with pytest.raises(psycopg2.errors.UniqueViolation):
        query(postgres.url("postgres"), "INSERT INTO texts VALUES ('private'), ('private')")

    log = (postgres.folder / "server.log").read_text()
    assert "duplicate key" in log
    assert "private" not in log


@pytest.mark.parametrize(("durable", "shown"), [(True, "on"), (False, "off")])
def test_fsync_is_on_unless_a_test_gives_it_up(postgres: EmbeddedPostgres, durable: bool, shown: str) -> None:
    with EmbeddedPostgres(postgres.folder, durable=durable) as server:
        assert query(server.url("postgres"), "SHOW fsync") == [(shown,)]
        assert query(server.url("postgres"), "SHOW full_page_writes") == [(shown,)]
        assert query(server.url("postgres"), "SHOW synchronous_commit") == [("on",)]


def test_a_second_run_on_the_same_folder_is_refused_and_harms_nothing(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    with pytest.raises(EmbeddedServerError, match="in use by another run"):
        EmbeddedPostgres(postgres.folder, durable=False).start()

    assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]


@linux
def test_it_ends_when_its_run_is_killed_and_starts_again(postgres: EmbeddedPostgres) -> None:
    killed_run("sendmsg.embedded.postgres", "EmbeddedPostgres", postgres.folder, orphan=False)
    eventually(lambda: processes_in(postgres.data, "postgres") == [], "no process is left")

    postgres.start()

    assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]


def test_an_orphan_of_a_killed_run_is_ended_by_the_next_start(postgres: EmbeddedPostgres) -> None:
    orphan = killed_run("sendmsg.embedded.postgres", "EmbeddedPostgres", postgres.folder, orphan=True)
    assert orphan in processes_in(postgres.data, "postgres")

    postgres.start()

    assert orphan not in processes_in(postgres.data, "postgres")
    assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]


def test_the_standard_port_is_left_to_others(postgres: EmbeddedPostgres) -> None:
    with taken(5432):
        postgres.start()
        assert query(postgres.url("postgres"), "SELECT 1") == [(1,)]


def test_a_port_that_somebody_took_meanwhile_is_replaced_at_the_next_run(
    folder: Path, postgres: EmbeddedPostgres
) -> None:
    port = postgres.port
    later = EmbeddedPostgres(folder, durable=False)
    with socket.create_server((HOST, port)):
        later.start()
        assert later.port != port
        assert later.password == postgres.password
    later.stop()


def test_a_start_that_fails_says_why_and_leaves_no_process(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedServerError, match=r"(?s)PostgreSQL did not start.*no_such_setting"):
        postgres.start()

    assert processes_in(postgres.data, "postgres") == []
