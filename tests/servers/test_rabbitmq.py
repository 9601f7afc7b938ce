import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest

from sendmsg.embedded.process import EmbeddedServerError
from tests.servers.obtain import scratch_folder
from tests.servers.ports import taken
from tests.servers.rabbitmq import Address, RabbitMQ, answers
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
QUORUM = {"x-queue-type": "quorum"}
KILLED_RUN = """
import os, signal, threading
from pathlib import Path
from tests.servers.rabbitmq import RabbitMQ
node = RabbitMQ(Path({folder!r}))
threading.Thread(target=node.start, daemon=True).start()
input()
os.kill(os.getpid(), signal.SIGKILL)
"""
procfs = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see every process")


@pytest.fixture
def node() -> Iterator[RabbitMQ]:
    made = RabbitMQ(scratch_folder())
    yield made
    made.remove()


def connect(address: Address) -> amqp.Connection:
    connection = amqp.Connection(
        f"127.0.0.1:{address.port}",
        userid=address.user,
        password=address.password,
        virtual_host=address.vhost,
        confirm_publish=True,
        read_timeout=10,
    )
    connection.connect()
    return connection


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes whose home is `folder`: the node, epmd, and what they started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"HOME={folder}\0".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended meanwhile
            continue
    return found


@procfs
def test_a_node_lives_through_kill_and_restart_with_its_messages_and_leaves_no_process(node: RabbitMQ) -> None:
    with taken(4369, 5672, 15672, 25672):
        node.start()
    with connect(node.address) as connection:
        connection.channel().queue_declare("kept", durable=True, auto_delete=False, arguments=QUORUM)
        connection.channel().basic_publish(amqp.Message("hello", delivery_mode=2), routing_key="kept")

    node.restart()  # in order first: RabbitMQ forgets a quorum queue that was declared a moment before a SIGKILL
    node.kill()
    assert node.pid is None
    node.start()

    with connect(node.address) as connection:
        channel = connection.channel()
        message = eventually(lambda: channel.basic_get("kept"), "the message is there")
        assert message is not None
        assert message.body == "hello"
    node.stop()
    node.stop()
    assert processes_of(node.folder) == []
    with pytest.raises(EmbeddedServerError, match="running node"):
        node.ctl("status")


@procfs
def test_nothing_is_left_of_a_node_when_its_run_is_killed() -> None:
    folder = scratch_folder()
    script = KILLED_RUN.format(folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, text=True) as run:
        eventually(lambda: any("erl_child_setup" in line for line in processes_of(folder)), "Erlang is up", 60)
        run.communicate("\n", timeout=20)
    assert run.returncode == -signal.SIGKILL

    eventually(lambda: processes_of(folder) == [], "no process is left")

    RabbitMQ(folder).remove()
    assert not folder.exists()


def test_a_paused_node_answers_nobody_until_it_is_resumed(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.rabbitmq.LOGIN_WITHIN", 0.5)
    rabbitmq.pause()
    assert not answers(rabbitmq.url())

    rabbitmq.resume()

    eventually(lambda: answers(rabbitmq.url()), "it answers again")


def test_rabbitmqctl_speaks_to_the_private_node(rabbitmq: RabbitMQ) -> None:
    url = rabbitmq.create_vhost("one more/vhost")

    assert answers(url)
    rabbitmq.ctl("delete_vhost", "one more/vhost")
    assert not answers(url)
    with pytest.raises(subprocess.CalledProcessError):
        rabbitmq.ctl("delete_vhost", "one more/vhost")


def test_a_wrong_password_is_refused(rabbitmq: RabbitMQ) -> None:
    assert answers(rabbitmq.url())
    assert not answers(rabbitmq.url().replace(rabbitmq.address.password, "guessed"))
    assert not answers(f"amqp://guest:guest@127.0.0.1:{rabbitmq.address.port}/")


def test_a_node_that_does_not_start_says_why(node: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "rabbitmq-server"
    program.write_text("#!/bin/sh\necho the disk is full\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("tests.servers.rabbitmq.FOLDERS", [str(tmp_path)])

    with pytest.raises(EmbeddedServerError, match=r"(?s)RabbitMQ did not start.*the disk is full"):
        node.start()

    assert node.pid is None
