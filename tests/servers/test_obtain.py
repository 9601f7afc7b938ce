"""Which server is obtained, and what happens where there is none."""

import stat
from pathlib import Path

import pytest

from tests.servers import debian, docker, obtain
from tests.servers.errors import NoServer
from tests.servers.given import GivenPostgres, GivenRabbitMQ, GivenRedis
from tests.servers.obtain import PrivateRabbitMQ, PrivateRedis, obtain_postgres, obtain_rabbitmq, obtain_redis
from tests.servers.rabbitmq import Address, RabbitMQ

GIVEN = {
    "TEST_DATABASE_URL": "postgresql://me:secret@db.example:5433/mine",
    "TEST_REDIS_URL": "redis://cache.example:6380/3",
    "TEST_BROKER_URL": "amqps://me:se%40cret@mq.example/mine",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One that has nothing: no rabbitmq-server, no root on Debian, no Docker."""
    monkeypatch.setattr(RabbitMQ, "is_installed", lambda: False)
    monkeypatch.setattr(debian, "can_install", lambda: False)
    monkeypatch.setattr(docker, "engine_answers", lambda: False)
    return monkeypatch


def test_what_the_environment_names_is_used_in_places_of_random_names() -> None:
    postgres, redis, rabbitmq = obtain_postgres(GIVEN), obtain_redis(GIVEN), obtain_rabbitmq(GIVEN)

    assert isinstance(postgres.default, GivenPostgres)
    assert postgres.logs is postgres.default
    assert postgres.database_url.startswith("postgresql://me:secret@db.example:5433/sendmsg_")
    assert postgres.logs_database_url.startswith("postgresql://me:secret@db.example:5433/sendmsg_logs_")
    assert isinstance(redis, GivenRedis)
    assert redis.url() == GIVEN["TEST_REDIS_URL"]
    assert redis.prefix != GivenRedis(GIVEN["TEST_REDIS_URL"]).prefix
    assert isinstance(rabbitmq, GivenRabbitMQ)
    assert rabbitmq.url() == f"amqps://me:se%40cret@mq.example/{rabbitmq.vhost}"


def test_the_logs_may_have_a_server_of_their_own() -> None:
    postgres = obtain_postgres({**GIVEN, "TEST_LOGS_DATABASE_URL": "postgresql://logs.example/any"})

    assert postgres.logs_database_url.startswith("postgresql://logs.example/sendmsg_logs_")
    assert postgres.database_url.startswith("postgresql://me:secret@db.example:5433/sendmsg_")


def test_without_a_name_servers_are_private_and_their_urls_known_before_they_start() -> None:
    postgres, redis, rabbitmq = obtain_postgres({}), obtain_redis({}), obtain_rabbitmq({})
    try:
        assert postgres.database_url.startswith("postgresql://sendmsg:")
        assert isinstance(redis, PrivateRedis)
        assert isinstance(rabbitmq, PrivateRabbitMQ)
        assert rabbitmq.url() == rabbitmq.address.url()
    finally:
        postgres.remove()
        redis.remove()
        rabbitmq.remove()


def test_a_server_that_is_to_be_stopped_is_never_a_given_one() -> None:
    postgres = obtain_postgres(GIVEN, private=True)

    assert not isinstance(postgres.default, GivenPostgres)
    assert not isinstance(postgres.logs, GivenPostgres)
    postgres.remove()


def test_without_any_way_to_rabbitmq_one_line_says_how_to_get_one(machine: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoServer, match=r"apt-get install.*brew install.*Docker.*TEST_BROKER_URL") as failure:
        PrivateRabbitMQ().start()

    assert "\n" not in str(failure.value)


def test_rabbitmq_is_installed_where_that_is_possible(machine: pytest.MonkeyPatch) -> None:
    installed: list[bool] = []
    machine.setattr(debian, "can_install", lambda: True)
    machine.setattr(debian, "install", lambda: installed.append(True))
    machine.setattr(RabbitMQ, "is_installed", lambda: bool(installed))

    node = obtain._rabbitmq(Address.reserve())

    assert installed == [True]
    assert type(node) is RabbitMQ
    node.remove()


def test_docker_is_used_where_the_installation_fails(machine: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NoServer("no network")

    machine.setattr(debian, "can_install", lambda: True)
    machine.setattr(debian, "install", fail)
    with pytest.raises(NoServer, match="no network"):
        obtain._rabbitmq(Address.reserve())

    machine.setattr(docker, "engine_answers", lambda: True)

    assert isinstance(obtain._rabbitmq(Address.reserve()), docker.DockerRabbitMQ)


def test_the_docker_command_publishes_on_the_loopback_and_shows_no_password() -> None:
    address = Address(15999, "user", "password", "vhost")

    command = docker.run_command("sendmsg-tests-1", address)

    assert command == [
        *("docker", "run", "--detach", "--name", "sendmsg-tests-1", "--publish", "127.0.0.1:15999:5672"),
        *("--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS", "--env", "RABBITMQ_DEFAULT_VHOST"),
        "rabbitmq:3.13",
    ]
    assert docker.variables_of(address)["RABBITMQ_DEFAULT_PASS"] == "password"


def test_no_service_starts_while_packages_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    with debian.services_kept_stopped(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
        assert stat.S_IMODE(policy.stat().st_mode) == 0o755

    assert not policy.exists()


def test_a_policy_that_the_machine_has_is_kept(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("theirs")

    with debian.services_kept_stopped(policy):
        assert policy.read_text() == "theirs"

    assert policy.read_text() == "theirs"


@pytest.fixture
def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that knows no package before its first update; what it was called with."""
    calls = tmp_path / "calls"
    program = tmp_path / "apt-get"
    program.write_text(
        f'#!/bin/sh\necho "$DEBIAN_FRONTEND $1" >> "{calls}"\n'
        f'if [ "$1" = install ] && ! grep -q update "{calls}"; then echo "E: Unable to locate" >&2; exit 100; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(debian, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr("shutil.which", lambda name: None)  # no systemctl
    return calls


def test_apt_get_updates_its_lists_when_it_does_not_know_the_package(apt_get: Path) -> None:
    debian.install()

    assert apt_get.read_text().splitlines() == [
        "noninteractive install",
        "noninteractive update",
        "noninteractive install",
    ]


def test_apt_get_that_fails_is_quoted_in_one_line(apt_get: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt_get.parent / "apt-get").write_text("#!/bin/sh\necho warning >&2\necho 'E: no network' >&2\nexit 100\n")

    with pytest.raises(NoServer, match=r"^apt-get can't install rabbitmq-server: E: no network$"):
        debian.install()
