"""Installs packages on Debian and Ubuntu where the user is root, RabbitMQ above all, and starts no service by that."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.errors import NoServer

PACKAGE = "rabbitmq-server"
POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path(tempfile.gettempdir()) / "sendmsg-tests-apt.lock"
FORBIDDEN = 101  # what invoke-rc.d and deb-systemd-invoke take for "this service must not be started"
PATIENCE = 600  # seconds for one call of apt-get; Erlang is some 50 MB
OPTIONS = ("--yes", "--quiet=2", "--no-install-recommends", "--option", "DPkg::Lock::Timeout=120")


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install these, or else the server. Raises `NoServer` when apt-get can't."""
    wanted = packages or (PACKAGE,)
    named = " and ".join(wanted)
    print(f"installing {named} by apt-get; this takes a minute, once", file=sys.stderr, flush=True)
    with one_at_a_time(LOCK), services_kept_stopped(POLICY):
        done = _apt_get("install", *OPTIONS, *wanted)
        if done.returncode != 0:  # a fresh machine has no package lists, an old one stale ones
            _apt_get("update", "--quiet=2")
            done = _apt_get("install", *OPTIONS, *wanted)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise NoServer(f"apt-get can't install {named}: {reason[0]}")
    if shutil.which("systemctl") is not None:  # nor at the next boot
        subprocess.run(["systemctl", "disable", "--quiet", *wanted], capture_output=True, check=False)


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """`make test` has two processes: the lists of packages know no waiting, nor does a policy know its other user."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def services_kept_stopped(policy: Path) -> Iterator[None]:
    """Packages that are installed inside start no service. A policy that the machine has already stays in force."""
    try:
        with policy.open("x") as script:
            script.write(f"#!/bin/sh\nexit {FORBIDDEN}\n")
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()


def _apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoServer(f"apt-get {arguments[0]} did not end within {PATIENCE} s") from None
