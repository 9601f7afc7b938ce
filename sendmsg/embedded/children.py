"""The processes of the one-command mode, and the environment they run in.

The environment is made here from nothing: what the caller's shell or `.env` says about other databases, brokers or
hosts must not reach a demo that promises to touch nothing but its own folder.
"""

import os
import sys
from pathlib import Path

from sendmsg.embedded.child import Child
from sendmsg.embedded.local import Secrets
from sendmsg.embedded.ports import Ports
from sendmsg.embedded.process import HOST

# What a program needs to know about the machine and its user; nothing of it is a setting of ours.
KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
PYTHON = sys.executable


def environment(secrets: Secrets, ports: Ports, urls: dict[str, str], metrics: Path) -> dict[str, str]:
    """For `manage.py` and all processes; `urls` are DATABASE_URL, LOGS_DATABASE_URL, REDIS_URL and BROKER_URL."""
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **urls,
        "ALERTS_TARGETS": f"http://{HOST}:{ports.web}/metrics",
        "ALLOWED_HOSTS": f"localhost,{HOST}",
        "CALLBACKS_ALLOW_HTTP": "true",  # to programs on this machine, which is the only one that reaches us
        "CALLBACKS_ALLOW_PRIVATE": "true",
        "CREDENTIALS_KEYS": secrets.credentials_key,
        "DEBUG": "false",
        "METRICS_TOKEN": "",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "PUBLIC_URL": f"http://{HOST}:{ports.web}",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "REDIS_PREFIX": "sendmsg",
        "SECRET_KEY": secrets.secret_key,
        "TRUST_PROXY": "false",
    }


def prepare(secrets: Secrets, ports: Ports) -> Child:
    """Brings both databases up to date, and what the demo needs into them; prints new API keys as JSON."""
    return Child(
        "prepare",
        (PYTHON, "manage.py", "demo", "--migrate", "--provider-url", f"http://{HOST}:{ports.sandbox}"),
        {
            "DEMO_ADMIN_PASSWORD": secrets.admin_password,
            "DEMO_LIVE_KEY": secrets.live_key,
            "DEMO_TEST_KEY": secrets.test_key,
            **_sandbox_secrets(secrets),
        },
    )


def beside(secrets: Secrets, ports: Ports) -> tuple[Child, ...]:
    """What needs no database, so it may start while the databases are brought up to date."""
    sandbox = (PYTHON, "-m", "sendmsg.sandbox", "--bind", HOST, "--port", str(ports.sandbox))
    flower = (PYTHON, "manage.py", "flower", "--skip-checks", "--address", HOST, "--port", str(ports.flower))
    return (
        Child("flower", flower, _flower_login(secrets), port=ports.flower),
        Child("sandbox", sandbox, _sandbox_secrets(secrets), port=ports.sandbox, rank=1),
    )


def services(ports: Ports) -> tuple[Child, ...]:
    """The way of a message. Nobody is asked to end before those who work for him, but for the log writer."""
    return (
        Child("web", _manage("web", "--bind", f"{HOST}:{ports.web}", "--kill-after", "3"), port=ports.web),
        _pump("worker", "--threads", "4", "--name", "embedded", says="[queues]"),
        _pump("relay"),
        _pump("receipts"),
        _pump("callbacks"),
        _pump("reconcile"),
        _pump("measure"),
        _pump("alerts"),
        _pump("logwriter", rank=1),
    )


def _pump(name: str, *arguments: str, says: str = "pump started", rank: int = 0) -> Child:
    return Child(name, _manage(name, *arguments), says=says, rank=rank)


def _manage(*arguments: str) -> tuple[str, ...]:
    """`prepare` has run the system checks, and six more times would take longer than all the rest."""
    return (PYTHON, "manage.py", *arguments, "--skip-checks")


def _sandbox_secrets(secrets: Secrets) -> dict[str, str]:
    return {"SANDBOX_API_KEY": secrets.sandbox_api_key, "SANDBOX_RECEIPT_SECRET": secrets.receipt_secret}


def _flower_login(secrets: Secrets) -> dict[str, str]:
    """By environment: arguments are in the process list, where everybody reads the password."""
    return {"FLOWER_BASIC_AUTH": f"admin:{secrets.admin_password}"}
