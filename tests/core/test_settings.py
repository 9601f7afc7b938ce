"""The settings as a whole: what must not go together, and what production needs."""

import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection

from sendmsg.variables import VARIABLES

ROOT = Path(settings.BASE_DIR)
COMPLETE = {
    "SECRET_KEY": "x7Qp-2mVt9_LrZ4kWc8N.yBd3HfJ6sGaUeXo5iTq1RwKzMhPv0",
    "CREDENTIALS_KEYS": Fernet.generate_key().decode(),
    "DATABASE_URL": "postgresql://user@db.example/sendmsg",
    "LOGS_DATABASE_URL": "postgresql://user@logs.example/sendmsg_logs",
}
PRODUCTION = {
    **COMPLETE,
    "PUBLIC_URL": "https://gateway.example",
    "ALLOWED_HOSTS": "gateway.example",
    "METRICS_TOKEN": "a-token-for-prometheus",
    "BROKER_URL": "amqps://user:password@rabbitmq.example//",
    "REDIS_URL": "rediss://redis.example",
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the settings in an environment of their own; a `.env` beside them is text or nothing."""

    def loader(dotenv: str = "", **environment: str) -> dict[str, Any]:
        for variable in VARIABLES:
            monkeypatch.delenv(variable.name, raising=False)
        for name, value in {**COMPLETE, **environment}.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "sendmsg").mkdir(exist_ok=True)
        (tmp_path / ".env").write_text(dotenv)
        return runpy.run_path(shutil.copy(str(ROOT / "sendmsg" / "settings.py"), str(tmp_path / "sendmsg")))

    return loader


def manage(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """A management command in a process of its own, in this environment and no other."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"LOGS_DATABASE_URL": COMPLETE["DATABASE_URL"]}, "LOGS_DATABASE_URL names the same database as DATABASE_URL"),
        ({"SEND_LEASE": "44.9", "TOTAL_TIMEOUT": "15"}, "SEND_LEASE must be at least three times TOTAL_TIMEOUT"),
        ({"RETRY_BASE": "10", "RETRY_CAP": "9"}, "RETRY_CAP must not be under RETRY_BASE"),
        ({"PUBLIC_URL": "https://gateway.example"}, "ALLOWED_HOSTS lacks the host of PUBLIC_URL"),
        ({"DEBUG": "maybe"}, "DEBUG expected true or false"),
        ({"BROKER_URL": "sqs://"}, "BROKER_URL expected a URL that starts with amqp://"),
        ({"dotenv": "SECRT_KEY=x\n"}, "SECRT_KEY in .env is not a setting of SendMSG"),
    ],
)
def test_what_can_not_work_is_one_line_that_names_the_variable(
    load: Callable[..., dict[str, Any]], changes: dict[str, str], line: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        load(**changes)

    assert str(caught.value.code).startswith(f"sendmsg: {line}")
    assert "\n" not in str(caught.value.code)


@pytest.mark.parametrize(
    ("package", "wanted", "extra"),
    [
        ("pyarrow", {"ARCHIVE_FORMAT": "parquet"}, "parquet"),
        ("zstandard", {"ARCHIVE_COMPRESSION": "zstd"}, "zstd"),
        ("storages", {"ARCHIVE_URL": "s3://cold"}, "s3"),
    ],
)
def test_what_needs_an_extra_is_only_missed_by_who_asks_for_it(
    load: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    wanted: dict[str, str],
    extra: str,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))

    assert load()
    with pytest.raises(SystemExit, match=f"install the extra {extra}$"):
        load(**wanted)


def test_parquet_compresses_by_itself(load: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "zstandard" else found(name))

    assert load(ARCHIVE_FORMAT="parquet", ARCHIVE_COMPRESSION="zstd")["ARCHIVE_FORMAT"] == "parquet"


def test_a_lease_of_exactly_three_times_the_timeout_will_do(load: Callable[..., dict[str, Any]]) -> None:
    assert load(SEND_LEASE="45", TOTAL_TIMEOUT="15")["TOTAL_TIMEOUT"] == 15


def test_an_https_address_turns_on_what_belongs_to_it(load: Callable[..., dict[str, Any]]) -> None:
    secure = load(PUBLIC_URL="https://gateway.example/", ALLOWED_HOSTS="gateway.example")
    plain = load(PUBLIC_URL="http://gateway.example", ALLOWED_HOSTS="gateway.example")

    switches = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS")
    assert [bool(secure[name]) for name in switches] == [True] * 4
    assert [bool(plain[name]) for name in switches] == [False] * 4
    assert secure["CSRF_TRUSTED_ORIGINS"] == ["https://gateway.example"]


def test_a_proxy_is_believed_only_where_it_is_said_to_be_one(load: Callable[..., dict[str, Any]]) -> None:
    assert "SECURE_PROXY_SSL_HEADER" not in load()
    assert load(TRUST_PROXY="true")["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.mark.parametrize("dotenv", ["", "DEBUG=true\n"])
def test_the_file_beside_the_project_is_read(load: Callable[..., dict[str, Any]], dotenv: str) -> None:
    assert load(dotenv)["DEBUG"] is bool(dotenv)


def test_every_statement_is_bounded_and_a_url_may_say_otherwise(load: Callable[..., dict[str, Any]]) -> None:
    databases = load(LOGS_DATABASE_URL="postgresql://user@db.example/logs?connect_timeout=9&sslmode=require")[
        "DATABASES"
    ]

    assert databases["default"]["OPTIONS"]["connect_timeout"] == 3
    assert "statement_timeout" in databases["default"]["OPTIONS"]["options"]
    assert databases["logs"]["OPTIONS"]["connect_timeout"] == 9
    assert databases["logs"]["OPTIONS"]["sslmode"] == "require"


@pytest.mark.django_db
def test_a_transaction_that_stands_still_lets_go_of_its_rows_within_the_time_of_a_region() -> None:
    """Of a frozen worker: nobody else can free the messages that it locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('idle_in_transaction_session_timeout')::interval")
        [limit] = cursor.fetchone()

    assert timedelta(seconds=20) < limit < timedelta(seconds=30)


def test_a_process_that_can_not_start_says_why_in_one_line_and_fails() -> None:
    wrong = {
        "LOGS_DATABASE_URL": {"LOGS_DATABASE_URL": COMPLETE["DATABASE_URL"]},
        "SEND_LEASE": {"SEND_LEASE": "20", "TOTAL_TIMEOUT": "15"},
        "RELAY_BATCH": {"RELAY_BATCH": "many"},
        "SECRET_KEY_FILE": {"SECRET_KEY_FILE": "/nowhere/secret"},
        "DATABASE_URL": {"DATABASE_URL": "postgresql://user:pass/word@db.example/sendmsg"},
    }
    complete = {name: value for name, value in COMPLETE.items() if name != "SECRET_KEY"}
    processes = {
        name: manage(
            "check", **{**complete, **({} if name == "SECRET_KEY_FILE" else {"SECRET_KEY": "x" * 50}), **changes}
        )
        for name, changes in wrong.items()
    }

    for name, process in processes.items():
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors.startswith(f"sendmsg: {name} ")
        assert errors.count("\n") == 1


def test_production_has_nothing_to_warn_of() -> None:
    process = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")
    assert output == "System check identified no issues (0 silenced).\n"
