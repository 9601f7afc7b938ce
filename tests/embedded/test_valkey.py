import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sendmsg.embedded.process import HOST, EmbeddedServerError, processes_in
from sendmsg.embedded.valkey import EmbeddedValkey
from tests.embedded.runs import killed_run
from tests.servers.ports import taken
from tests.waiting import eventually

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux ends the children of a killed process")


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedValkey]:
    made = EmbeddedValkey(folder, durable=False)
    yield made
    made.remove()


@pytest.fixture
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(server.url())
    yield made
    made.close()


def test_data_and_address_survive_a_restart(server: EmbeddedValkey, client: redis.Redis) -> None:
    url = server.url()
    server.start()
    client.set("kept", "yes")

    server.stop()
    assert not server.is_running()
    server.start()

    assert server.url() == url
    assert client.get("kept") == b"yes"


def test_what_was_written_survives_kill_9(server: EmbeddedValkey, client: redis.Redis) -> None:
    server.start()
    client.xadd("stream", {"number": 1})

    server.kill()

    assert processes_in(server.data, "valkey-server") == []
    server.start()
    assert client.xlen("stream") == 1


@pytest.mark.parametrize(("durable", "fsync"), [(True, "always"), (False, "no")])
def test_it_appends_every_write_and_evicts_nothing(folder: Path, durable: bool, fsync: str) -> None:
    with EmbeddedValkey(folder, durable=durable) as server:
        client = redis.Redis.from_url(server.url(), decode_responses=True)
        configuration = client.config_get("append*", "maxmemory-policy", "save", "bind")
        client.close()

    assert configuration["appendonly"] == "yes"
    assert configuration["appendfsync"] == fsync
    assert configuration["maxmemory-policy"] == "noeviction"
    assert configuration["save"] == ""
    assert configuration["bind"] == HOST


def test_other_users_of_the_machine_do_not_get_in(server: EmbeddedValkey) -> None:
    server.start()

    stranger = redis.Redis(host=HOST, port=server.port, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()
    for name in ("access.json", "valkey.conf", "server.log"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600


def test_a_second_run_on_the_same_folder_is_refused(server: EmbeddedValkey) -> None:
    server.start()

    with pytest.raises(EmbeddedServerError, match="in use by another run"):
        EmbeddedValkey(server.folder).start()

    assert server.is_running()


@linux
def test_it_ends_when_its_run_is_killed(server: EmbeddedValkey) -> None:
    killed_run("sendmsg.embedded.valkey", "EmbeddedValkey", server.folder, orphan=False)
    eventually(lambda: processes_in(server.data, "valkey-server") == [], "no process is left")

    server.start()

    assert server.is_running()


def test_an_orphan_of_a_killed_run_is_ended_by_the_next_start(server: EmbeddedValkey) -> None:
    orphan = killed_run("sendmsg.embedded.valkey", "EmbeddedValkey", server.folder, orphan=True)
    assert processes_in(server.data, "valkey-server") == [orphan]

    server.start()

    assert processes_in(server.data, "valkey-server") == [server.pid]


def test_the_standard_port_is_left_to_others(server: EmbeddedValkey, client: redis.Redis) -> None:
    with taken(6379):
        server.start()
        assert client.ping()


def test_a_start_that_fails_says_why(server: EmbeddedValkey) -> None:
    with socket.create_server((HOST, server.port)), pytest.raises(EmbeddedServerError, match=r"(?s)Valkey.*bind"):
        server.start()
