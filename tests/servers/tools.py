"""Programs that check what is made for other programs: `promtool` of Prometheus, `amtool` of Alertmanager."""

import shutil
from typing import Final

from tests.servers import debian
from tests.servers.errors import NoServer

PACKAGES: Final = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}
"""Which package of Debian and Ubuntu has it."""


def obtain(program: str) -> str:
    """Its path; it is installed by apt-get where that is possible. Raises `NoServer`, which says how to get it."""
    found = shutil.which(program)
    if found is not None:
        return found
    package, reason = PACKAGES[program], ""
    if debian.can_install():
        try:
            debian.install(package)
        except NoServer as failure:
            reason = f" ({failure})"
    found = shutil.which(program)
    if found is None:
        brew = package.removeprefix("prometheus-")
        raise NoServer(
            f"the tests need {program}: install it (Debian, Ubuntu: apt-get install {package}; macOS: brew install "
            f"{brew}){reason}"
        )
    return found
