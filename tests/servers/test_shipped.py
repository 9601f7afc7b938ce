"""What is measured is measured on a database that keeps what it acknowledged."""

import psycopg2
import pytest

from tests.servers.obtain import shipped_postgres
from tests.servers.shipped import shipped


def test_it_is_durable_and_set_as_we_ship_it() -> None:
    postgres = shipped_postgres()
    postgres.start()
    try:
        with psycopg2.connect(postgres.database_url) as connection, connection.cursor() as cursor:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                assert cursor.fetchone() == ("on",), name
            for name in ("shared_buffers", "max_wal_size", "checkpoint_timeout"):
                cursor.execute(f"SHOW {name}")
                assert cursor.fetchone() == (shipped()[name],), name
            cursor.execute("SHOW listen_addresses")
            assert cursor.fetchone() == ("127.0.0.1",)
        connection.close()
    finally:
        postgres.remove()


@pytest.mark.parametrize("name", ["default", "logs"])
def test_the_files_are_read(name: str) -> None:
    assert shipped(name)["fsync"] == "on"
    assert shipped(name)["log_timezone"] == "UTC"
