import os
import subprocess
import sys
import threading
from pathlib import Path

from sendmsg.embedded.process import PORTS, free_port, is_free, processes_in, read_lsof, spawn
from tests.waiting import eventually

SLEEP = ["/bin/sleep", "60"]


def start_sleep(folder: Path) -> subprocess.Popen[bytes]:
    return spawn(SLEEP, folder=folder, output=subprocess.DEVNULL, environment={})


def test_a_child_lives_on_when_the_thread_that_started_it_ends(tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: children.append(start_sleep(tmp_path)))
    thread.start()
    thread.join()
    [child] = children

    eventually(lambda: processes_in(tmp_path, "sleep") == [child.pid], "it runs")

    assert child.poll() is None
    child.kill()
    child.wait()


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_spares_it(tmp_path: Path) -> None:
    child = start_sleep(tmp_path)

    assert os.getsid(child.pid) == child.pid

    child.kill()
    child.wait()
    assert processes_in(tmp_path, "sleep") == []


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        child = spawn([tmp_path / "nothing"], folder=tmp_path, output=log, environment={})

    assert child.wait(10) == 1
    assert (tmp_path / "log").read_text() == f"{tmp_path / 'nothing'}: No such file or directory\n"


def test_a_forked_process_starts_children_of_its_own(tmp_path: Path) -> None:
    start_and_end = (
        f"child = spawn({SLEEP!r}, folder=Path('/'), output=-3, environment={{}}); child.kill(); child.wait()"
    )
    script = (
        "import os\nfrom pathlib import Path\nfrom sendmsg.embedded.process import spawn\n"
        f"{start_and_end}\n"
        f"pid = os.fork()\nif pid == 0:\n    {start_and_end}\n    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout == "7\n"


def test_a_free_port_is_below_those_of_outgoing_connections() -> None:
    port = free_port()

    assert port in PORTS
    assert is_free(port)


def test_a_listing_of_lsof_is_read() -> None:
    listing = "p12\nfcwd\nn/data\np13\nfcwd\nn/data/sub\np14\nfcwd\nn/data\n"

    assert read_lsof(listing, "/data") == [12, 14]
