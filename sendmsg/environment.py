"""Reads the environment as typed values; which variables there are stands in `sendmsg.variables`.

A value comes from the environment, else from the file that `<NAME>_FILE` names (secrets mounted by an orchestrator),
else from `.env`, else from the default. A value that can't be used, a name in `.env` that nobody reads, or two
values that contradict each other stop the process with one line that names the variable.
"""

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import environ
from cryptography.fernet import Fernet

DOTENV_LINE = re.compile(r"(export )?[A-Za-z_0-9]+=")  # what django-environ reads; any other line it passes over
NOT_A_URL = "is not a URL; characters such as / # @ [ in a user name or password are written as %2F %23 %40 %5B"


class Refused(ValueError):
    """A value that can't be used; the text says what is expected."""


def text(value: str) -> str:
    if not value:
        raise Refused("must not be empty")
    return value


def optional_text(value: str) -> str:
    return value


def boolean(value: str) -> bool:
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
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
        raise Refused(
            "expected Fernet keys; this makes one: python -c "
            "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
        )
    return keys


def logins(value: str) -> str:
    """Several `user:password` with commas between them, as Flower has them."""
    if not all(all(login.partition(":")) for login in value.split(",")):
        raise Refused("expected user:password, several with commas between them")
    return value


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


def ratio(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise Refused("expected a number above 0, at most 1")
    return number


def share(value: str) -> float:
    """As `ratio`, but none at all is a share too."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise Refused("expected a number from 0 to 1")
    return number


def pairs(value: str) -> dict[str, str]:
    """Names and values, percent-encoded (OpenTelemetry, "Specifying headers via environment variables")."""
    found = {}
    for word in words(value):
        name, sign, content = word.partition("=")
        if not sign or not name.strip():
            raise Refused("expected name=value, with commas between")
        found[unquote(name.strip())] = unquote(content.strip())
    return found


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
        except ValueError:  # its text may quote a piece of a password
            raise Refused(NOT_A_URL) from None
        if parts.scheme not in schemes or not parts.hostname:
            raise Refused(f"expected a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value.rstrip("/")

    return read


def several(read: Callable[[str], str]) -> Callable[[str], str]:
    """One or more of the same, with semicolons between."""
    return lambda value: ";".join(read(part) for part in value.split(";"))


def optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `read` has it; or nothing."""
    return lambda value: read(value) if value else ""


def receipts_buffer(value: str) -> str:
    """A Redis, or a queue of SQS: sqs://<region>/<queue>, with ?endpoint=<url> where it is not AWS's own."""
    value = url("redis", "rediss", "sqs")(value)
    parts = urlsplit(value)
    if parts.scheme != "sqs":
        return value
    names = parts.path.strip("/").split("/")
    if not all(names) or len(names) > 2 or set(parse_qs(parts.query)) - {"endpoint"}:
        raise Refused("expected sqs://<region>/<queue>, or <account>/<queue>, perhaps with ?endpoint=<url>")
    return value


def storage(value: str) -> dict[str, Any]:
    """An entry of Django's STORAGES: a folder, or S3 by the extra `s3`, which is imported when it is first used."""
    parts = urlsplit(url("file", "s3")(value) if value.startswith("s3:") else value)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not asked:
        folder = {"location": unquote(parts.path), "allow_overwrite": True}
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": folder}
    if parts.scheme != "s3" or set(asked) - {"region", "endpoint"}:
        raise Refused("expected file:///<folder>, or s3://<bucket>/<prefix>, perhaps with ?region=…&endpoint=<url>")
    bucket: dict[str, Any] = {"bucket_name": parts.netloc, "location": parts.path.strip("/"), "file_overwrite": True}
    names = {"region": "region_name", "endpoint": "endpoint_url"}
    return {
        "BACKEND": "sendmsg.logs.archive.s3.ArchiveS3",
        "OPTIONS": {**bucket, **{names[name]: value for name, value in asked.items()}},
    }


def database(value: str) -> dict[str, Any]:
    if not value.startswith(("postgresql://", "postgres://")):
        raise Refused("expected a URL that starts with postgresql://")
    try:
        config: dict[str, Any] = environ.Env.db_url_config(value)
    except ValueError:
        raise Refused(NOT_A_URL) from None
    if not config.get("NAME"):
        raise Refused("names no database: end the URL with /<name>")
    return config


def mail_server(value: str) -> dict[str, Any]:
    """Django's settings for it, by name."""
    url("smtp", "smtp+tls", "smtp+ssl")(value)
    config: dict[str, Any] = environ.Env.email_url_config(value)
    return {name: each for name, each in config.items() if name.startswith("EMAIL_") and each is not None}


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, how its text is read, its default (None: must be set) and one line for the docs."""

    name: str
    read: Callable[[str], Any]
    default: str | None
    meaning: str


def read_environment(variables: Iterable[Variable], dotenv: Path) -> Mapping[str, Any]:
    """The values of all variables by name.

    Raises `SystemExit` with one line at the first that can't be used.
    """
    variables = tuple(variables)
    known = {variable.name for variable in variables}
    from_file = _read_dotenv(dotenv, known)
    values: dict[str, Any] = {}
    for variable in variables:
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
    class File(environ.Env):  # type: ignore[misc]  # untyped
        ENVIRON: dict[str, str] = {}  # read_env writes here instead of into the process's environment

    if path.is_file():
        File.read_env(io.StringIO("\n".join(_dotenv_lines(path))))
    for name in sorted(File.ENVIRON):
        if name not in known and name.removesuffix("_FILE") not in known:
            refuse(name, f"in {path.name} is not a setting of SendMSG: docs/settings.md lists them")
    return File.ENVIRON


def _dotenv_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        refuse(path.name, f"can't be read: {type(error).__name__}")
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and not DOTENV_LINE.match(line):
            refuse(f"{path.name} line {number}", "is not NAME=value, without spaces around the sign")
    return lines


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
