"""The folder of the one-command mode: closed to other users, one run at a time, and home of its secrets.

Its parts may be deleted one by one: a new run makes again what is missing, and the rest goes on being used.
"""

import base64
import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Self

from sendmsg.errors import ConfigurationError

# Root lends PostgreSQL an unprivileged user, who must pass to the data; nobody else can list anything.
_OPEN_TO_PASS = 0o711


def _secret() -> str:
    return secrets.token_urlsafe(48)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _password() -> str:
    """Short enough to be typed: 80 bits."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a run must remember of the ones before it. The API keys are empty until the demo account has them."""

    secret_key: str = field(default_factory=_secret, repr=False)
    credentials_key: str = field(default_factory=_fernet_key, repr=False)
    sandbox_api_key: str = field(default_factory=_secret, repr=False)
    receipt_secret: str = field(default_factory=_secret, repr=False)
    admin_password: str = field(default_factory=_password, repr=False)
    live_key: str = field(default="", repr=False)
    test_key: str = field(default="", repr=False)


NAMES = frozenset(each.name for each in fields(Secrets))


class LocalFolder:
    """Held by one run to the end of its `with` block, or of the process."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self.log = path / "log"
        self.metrics = path / "metrics"
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make it if it is missing; raises `ConfigurationError` when it can't be written or another run holds it."""
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(_OPEN_TO_PASS if os.geteuid() == 0 else 0o700)
            lock = (path / "lock").open("a+")
        except OSError as error:
            raise ConfigurationError(f"{path} can't be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ConfigurationError(f"make run is running in {path} already (pid {holder}): stop it first") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return cls(path, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._lock.close()

    def clear_metrics(self) -> None:
        """Drop the numbers of processes that have ended; they would be served for ever."""
        self.metrics.mkdir(exist_ok=True)
        for file in self.metrics.glob("*.db"):
            file.unlink()

    def read_secrets(self) -> Secrets:
        """Those of the last run, those that it lacks made now; raises `ConfigurationError` when they can't be read."""
        try:
            stored = json.loads(self._secrets.read_text())
            known = {name: str(value) for name, value in stored.items() if name in NAMES}
        except FileNotFoundError:
            known = {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            detail = f"{self._secrets} can't be read ({type(error).__name__}): delete it, and new secrets are made"
            raise ConfigurationError(detail) from None
        found = Secrets(**known)
        self._write(found)
        return found

    def remember_keys(self, found: Secrets, *, live: str, test: str) -> Secrets:
        changed = replace(found, live_key=live, test_key=test)
        self._write(changed)
        return changed

    @property
    def _secrets(self) -> Path:
        return self.path / "secrets.json"

    def _write(self, found: Secrets) -> None:
        """All or nothing, and never readable for others, not even for a moment."""
        draft = self._secrets.with_suffix(".draft")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(found), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._secrets)
