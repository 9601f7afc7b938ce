"""The environment as typed values: every variable that SendMSG reads is declared here, once.

A value comes from the environment, else from the file that `<NAME>_FILE` names (secrets mounted by an orchestrator),
else from `.env`, else from the default. A value that can't be used, a name in `.env` that nobody reads, or two
values that contradict each other stop the process with one line that names the variable.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet


class Refused(ValueError):
    """A value that can't be used; the text says what is expected."""


def text(value: str) -> str:
    if not value:
        raise Refused("must not be empty")
    return value


def optional_text(value: str) -> str:
    return value


def boolean(value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.lower() not in words:
        raise Refused("expected true or false")
    return words[value.lower()]


def words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def fernet_keys(value: str) -> list[str]:
    keys = words(value)
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        keys = []
    if not keys:
        raise Refused("expected Fernet keys: `python -c \"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())\"` makes one")
    return keys


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise Refused(f"expected a whole number from {minimum} to {maximum}") from None
        if not minimum <= number <= maximum:
            raise Refused(f"expected a whole number from {minimum} to {maximum}")
        return number

    return read


def seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise Refused(f"expected seconds from {minimum:g} to {maximum:g}") from None
        if not minimum <= number <= maximum:  # also refuses NaN
            raise Refused(f"expected seconds from {minimum:g} to {maximum:g}")
        return number

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise Refused(f"expected one of {', '.join(choices)}")
        return value

    return read


def url(*schemes: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise Refused(f"is not a URL ({error})") from None
        if parts.scheme not in schemes or not parts.netloc:
            raise Refused(f"expected a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value.rstrip("/")

    return read


def database(value: str) -> dict[str, Any]:
    if urlsplit(value).scheme not in ("postgresql", "postgres"):
        raise Refused("expected a URL that starts with postgresql://")
    config: dict[str, Any] = environ.Env.db_url_config(value)
    if not config.get("NAME"):
        raise Refused("names no database: end the URL with /<name>")
    return config


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, how its text is read, its default (None: must be set) and one line for the docs."""

    name: str
    read: Callable[[str], Any]
    default: str | None
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable("SECRET_KEY", text, None, "Django's signing key: sessions and the admin's forms."),
    Variable("CREDENTIALS_KEYS", fernet_keys, None, "Fernet keys, newest first, that encrypt providers' credentials."),
    Variable("DEBUG", boolean, "false", "Django's debug pages; never on a reachable host."),
    Variable("ALLOWED_HOSTS", words, "localhost,127.0.0.1", "Host names the web process answers to."),
    Variable("PUBLIC_URL", url("http", "https"), "http://127.0.0.1:8000", "How providers reach this host; an https URL turns on secure cookies and HSTS."),
    Variable("TRUST_PROXY", boolean, "false", "Believe X-Forwarded-Proto: only behind a proxy that sets it."),
    Variable("DATABASE_URL", database, "postgresql://localhost/sendmsg", "The default database: messages, the truth."),
    Variable("LOGS_DATABASE_URL", database, "postgresql://localhost/sendmsg_logs", "The logs database: the timeline, task failures."),
    Variable("REDIS_URL", url("redis", "rediss"), "redis://localhost:6379/0", "Receipts buffer and wake-ups."),
    Variable("REDIS_PREFIX", text, "sendmsg", "Put before every Redis key."),
    Variable("BROKER_URL", url("amqp", "amqps", "redis", "rediss"), "amqp://guest:guest@localhost:5672//", "RabbitMQ; redis:// is for the embedded mode only."),
    Variable("LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Least level that is logged."),
    Variable("METRICS_TOKEN", optional_text, "", "Bearer token that /metrics asks for; empty: open."),
    Variable("DEFAULT_VALIDITY", seconds(60, 604_800), "86400", "Seconds a message may be tried when it names no valid_for."),
    Variable("RELAY_BATCH", whole(1, 10_000), "500", "Messages the relay releases in one step."),
    Variable("RELAY_POLL", seconds(0.01, 60), "1", "Seconds an idle relay waits when nothing wakes it."),
    Variable("RELEASE_LEASE", seconds(1, 3600), "60", "Seconds a released message may wait for a worker before it is released again."),
    Variable("SEND_LEASE", seconds(1, 3600), "45", "Seconds a worker may hold a message without renewing."),
    Variable("BACKLOG_LIMIT", whole(1, 100_000), "1000", "Messages released and not yet answered, per connection."),
    Variable("TASK_BATCH", whole(1, 1000), "50", "Most messages in one deliver task."),
    Variable("RETRY_BASE", seconds(0.01, 3600), "2", "First retry waits up to this many seconds; doubles each time."),
    Variable("RETRY_CAP", seconds(0.01, 86_400), "300", "No retry waits longer than this many seconds."),
    Variable("CONNECT_TIMEOUT", seconds(0.05, 60), "3", "Seconds to reach a provider."),
    Variable("READ_TIMEOUT", seconds(0.05, 120), "10", "Seconds of silence from a provider."),
    Variable("TOTAL_TIMEOUT", seconds(0.05, 300), "15", "Seconds for one provider call in all."),
    Variable("RECEIPT_PARKING", seconds(1, 604_800), "3600", "Seconds a receipt waits for its message before it counts as an orphan."),
)  # fmt: skip


def read_environment(dotenv: Path) -> Mapping[str, Any]:
    """All `VARIABLES` by name, typed.

    Raises `SystemExit` with one line at the first that can't be used.
    """
    known = {variable.name for variable in VARIABLES}
    from_file = _read_dotenv(dotenv, known)
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        raw = _raw(variable.name, from_file)
        if raw is None:
            raw = variable.default
        if raw is None:
            refuse(variable.name, f"must be set: {variable.meaning}")
        try:
            values[variable.name] = variable.read(raw)
        except Refused as reason:
            refuse(variable.name, str(reason))
    return values


def refuse(name: str, reason: str) -> NoReturn:
    """Stop the process, whichever it is, with one line on standard error."""
    raise SystemExit(f"sendmsg: {name} {reason}")


def _read_dotenv(path: Path, known: set[str]) -> dict[str, str]:
    class File(environ.Env):
        ENVIRON: dict[str, str] = {}  # read_env writes here instead of into the process's environment

    if path.is_file():
        File.read_env(path)
    for name in sorted(File.ENVIRON):
        if name not in known and name.removesuffix("_FILE") not in known:
            refuse(name, f"in {path.name} is not a setting of SendMSG: docs/settings.md lists them")
    return File.ENVIRON


def _raw(name: str, from_file: Mapping[str, str]) -> str | None:
    for source in (os.environ, from_file):
        if name in source and f"{name}_FILE" in source:
            refuse(name, f"and {name}_FILE are both set: keep one")
        if name in source:
            return source[name]
        if f"{name}_FILE" in source:
            try:
                return Path(source[f"{name}_FILE"]).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                refuse(f"{name}_FILE", f"can't be read: {type(error).__name__}")
    return None
