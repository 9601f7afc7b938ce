"""What stands in the environment is used as it is meant, or the process says in one line why it does not start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendmsg.environment import (
    Refused,
    Variable,
    boolean,
    database,
    fernet_keys,
    mail_server,
    one_of,
    optional_text,
    read_environment,
    seconds,
    several,
    text,
    url,
    whole,
    words,
)
from sendmsg.variables import VARIABLES

KEY, OTHER_KEY = "k" * 43 + "=", "o" * 43 + "="
NEEDED = Variable("PLANTED_SECRET", text, None, "Something that must be set.")
OPTIONAL = Variable("PLANTED_NUMBER", whole(1, 10), "5", "Something that need not.")


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Reads `PLANTED_SECRET` and `PLANTED_NUMBER` from an environment, and from the text or bytes of a `.env`."""

    def reader(dotenv: str | bytes | None = None, **environment: str) -> dict[str, Any]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if dotenv is not None:
            (tmp_path / ".env").write_bytes(dotenv if isinstance(dotenv, bytes) else dotenv.encode())
        return dict(read_environment((NEEDED, OPTIONAL), tmp_path / ".env"))

    return reader


def refusal(read: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """The one line with which it refuses to start."""
    with pytest.raises(SystemExit) as caught:
        read(*args, **kwargs)
    assert isinstance(caught.value.code, str)  # Python prints it on standard error, and exits with 1
    assert caught.value.code.startswith("sendmsg: ")
    assert "\n" not in caught.value.code
    return caught.value.code.removeprefix("sendmsg: ")


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        (text, "x", "x"),
        (optional_text, "", ""),
        (boolean, "true", True),
        (boolean, "YES", True),
        (boolean, "1", True),
        (boolean, "on", True),
        (boolean, "False", False),
        (boolean, "no", False),
        (boolean, "0", False),
        (boolean, "off", False),
        (words, "", []),
        (words, "a, b,,c ", ["a", "b", "c"]),
        (whole(1, 10), "1", 1),
        (whole(1, 10), "10", 10),
        (seconds(0.5, 60), "0.5", 0.5),
        (seconds(0.5, 60), "60", 60.0),
        (seconds(0.5, 60), "1e1", 10.0),
        (one_of("a", "b"), "b", "b"),
        (url("http", "https"), "https://gateway.example/", "https://gateway.example"),
        (url("amqp"), "amqp://guest:guest@localhost:5672//", "amqp://guest:guest@localhost:5672"),
        (url("redis"), "redis://localhost:6379/0", "redis://localhost:6379/0"),
        (several(url("amqp")), "amqp://one//", "amqp://one"),
        (several(url("amqp")), "amqp://one//;amqp://two//", "amqp://one;amqp://two"),
        (fernet_keys, KEY, [KEY]),
        (fernet_keys, f"{KEY}, {OTHER_KEY}", [KEY, OTHER_KEY]),
    ],
)
def test_a_good_value_is_read(reader: Callable[[str], object], value: str, expected: object) -> None:
    assert reader(value) == expected


@pytest.mark.parametrize(
    ("reader", "values"),
    [
        (text, [""]),
        (boolean, ["", "maybe", "2", "truee", " true"]),
        (whole(1, 10), ["", "0", "11", "-1", "1.0", "many", "1e1", "9" * 5000]),
        (seconds(0.5, 60), ["", "0.4", "61", "-1", "nan", "inf", "-inf", "1s"]),
        (one_of("a", "b"), ["", "A", "a ", "c"]),
        (
            url("http", "https"),
            ["", "gateway.example", "ftp://x", "http://", "http:///x", "http://:80", "http://x:port", "http://[x"],
        ),
        (url("http"), ["http://x:99999", "//x", "https://x"]),
        (several(url("amqp")), ["", "amqp://one;", "amqp://one;http://two"]),
        (fernet_keys, ["", ",", "short", KEY[:-2], KEY + "," + "x", "é" * 44]),
        (
            database,
            [
                "",
                "sendmsg",
                "mysql://localhost/sendmsg",
                "sqlite:///x",
                "postgresql://localhost",
                "postgresql://localhost/",
                "postgresql://localhost:port/sendmsg",
                "postgresql://localhost:99999/sendmsg",
                "postgresql:/sendmsg",
                "postgresql",
            ],
        ),
    ],
)
def test_a_value_that_can_not_be_used_is_refused(reader: Callable[[str], object], values: list[str]) -> None:
    for value in values:
        with pytest.raises(Refused):
            reader(value)


@pytest.mark.parametrize("reader", [database, url("amqp")], ids=["database", "url"])
def test_a_refusal_never_quotes_a_password(reader: Callable[[str], object]) -> None:
    scheme = "postgresql" if reader is database else "amqp"

    with pytest.raises(Refused) as caught:
        reader(f"{scheme}://user:hunter2/x@host/name")

    assert "hunter2" not in str(caught.value)
    assert "%2F" in str(caught.value)


def test_a_database_url_says_all_that_django_needs() -> None:
    assert database("postgresql://al%40ice:p%2Fw@db.example:6543/sendmsg?sslmode=require") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "sendmsg",
        "USER": "al@ice",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": 6543,
        "OPTIONS": {"sslmode": "require"},
    }


def test_a_database_behind_a_socket_can_be_named() -> None:
    config = database("postgresql://postgres@/sendmsg?host=/run/with%20space/pg")

    assert (config["NAME"], config["HOST"], config["OPTIONS"]) == ("sendmsg", "", {"host": "/run/with space/pg"})


@given(st.text(max_size=40).map(lambda rest: "postgresql://" + rest) | st.text(max_size=40))
def test_any_text_is_a_database_or_refused(value: str) -> None:
    try:
        config = database(value)
    except Refused:
        return

    assert config["NAME"]


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(read: Callable[..., Any]) -> None:
    dotenv = "PLANTED_SECRET=from file\n"
    assert read(dotenv) == {"PLANTED_SECRET": "from file", "PLANTED_NUMBER": 5}

    assert read(dotenv, PLANTED_SECRET="from environment", PLANTED_NUMBER="7") == {
        "PLANTED_SECRET": "from environment",
        "PLANTED_NUMBER": 7,
    }


def test_a_file_may_hold_quotes_comments_and_exports(read: Callable[..., Any]) -> None:
    dotenv = "# secrets\n\n  # more\nexport PLANTED_SECRET='a=b # c'\r\n PLANTED_NUMBER=\"6\"\n"

    assert read(dotenv) == {"PLANTED_SECRET": "a=b # c", "PLANTED_NUMBER": 6}


def test_the_file_stays_out_of_the_processs_environment(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    read("PLANTED_SECRET=from file\n")

    assert "PLANTED_SECRET" not in os.environ


def test_a_secret_may_be_in_a_file_of_its_own(read: Callable[..., Any], tmp_path: Path) -> None:
    secret = tmp_path / "secret file"
    secret.write_text("  s3cret\n")

    assert read(PLANTED_SECRET_FILE=str(secret))["PLANTED_SECRET"] == "s3cret"


def test_the_file_may_name_the_file_of_a_secret(read: Callable[..., Any], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")

    assert read(f"PLANTED_SECRET_FILE={secret}\n")["PLANTED_SECRET"] == "s3cret"


def test_what_must_be_set_is_asked_for_with_its_meaning(read: Callable[..., Any]) -> None:
    assert refusal(read) == "PLANTED_SECRET must be set: Something that must be set."


def test_a_value_that_is_empty_is_not_a_default(read: Callable[..., Any]) -> None:
    assert refusal(read, PLANTED_SECRET="x", PLANTED_NUMBER="") == (
        "PLANTED_NUMBER expected a whole number from 1 to 10"
    )


def test_a_value_and_a_file_together_contradict_each_other(read: Callable[..., Any]) -> None:
    line = refusal(read, PLANTED_SECRET="s3cret", PLANTED_SECRET_FILE="/x")

    assert line == "PLANTED_SECRET and PLANTED_SECRET_FILE are both set: keep one"


@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "empty name"])
def test_a_secrets_file_that_can_not_be_read_is_refused(read: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    path = {"missing": tmp_path / "missing", "folder": tmp_path, "binary": binary, "empty name": ""}[kind]

    assert refusal(read, PLANTED_SECRET_FILE=str(path)).startswith("PLANTED_SECRET_FILE can't be read: ")


def test_an_empty_secrets_file_is_an_empty_value(read: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    assert refusal(read, PLANTED_SECRET_FILE=str(tmp_path / "empty")) == "PLANTED_SECRET must not be empty"


@pytest.mark.parametrize("name", ["PLANTED_SECRETS", "planted_secret", "PLANTED_SECRET_FILE_FILE", "_FILE"])
def test_a_name_in_the_file_that_nobody_reads_is_refused(read: Callable[..., Any], name: str) -> None:
    line = refusal(read, f"PLANTED_SECRET=x\n{name}=1\n")

    assert line.startswith(f"{name} in .env is not a setting of SendMSG")


@pytest.mark.parametrize("bad", ["PLANTED_NUMBER", "PLANTED_NUMBER = 6", "PLANTED_NUMBER: 6", "=6", "s3cret words"])
def test_a_line_of_the_file_that_says_nothing_is_refused_and_not_quoted(read: Callable[..., Any], bad: str) -> None:
    line = refusal(read, f"PLANTED_SECRET=x\n{bad}\n")

    assert line == ".env line 2 is not NAME=value, without spaces around the sign"


def test_a_file_that_is_no_text_is_refused(read: Callable[..., Any]) -> None:
    assert refusal(read, b"\xff\xfe") == ".env can't be read: UnicodeDecodeError"


def test_every_variable_has_a_good_default_and_a_meaning() -> None:
    names = [variable.name for variable in VARIABLES]
    assert len(set(names)) == len(names)
    for variable in VARIABLES:
        assert variable.meaning.endswith(".")
        if variable.default is not None:
            variable.read(variable.default)
    assert [variable.name for variable in VARIABLES if variable.default is None] == ["SECRET_KEY", "CREDENTIALS_KEYS"]


def test_a_mail_server_is_a_url() -> None:
    assert mail_server("smtp+tls://me:p%40ss@mail.example:587") == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_FILE_PATH": "",
        "EMAIL_HOST": "mail.example",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_HOST_USER": "me",
        "EMAIL_PORT": 587,
        "EMAIL_USE_TLS": True,
    }
    for bad in ("mail.example", "http://mail.example", "smtp://", "smtp://mail.example:port"):
        with pytest.raises(Refused):
            mail_server(bad)
