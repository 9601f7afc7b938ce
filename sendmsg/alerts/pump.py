"""Looks after the conditions where no Prometheus does: scrapes our processes, and tells when an alert begins and ends.

One process is enough, and one should run: two would tell everything twice.
"""

import time
from typing import Final

import structlog
from django.conf import settings

from sendmsg.alerts.conditions import CONDITIONS
from sendmsg.alerts.episodes import Episode, Episodes
from sendmsg.alerts.looking import Past, scrape
from sendmsg.alerts.telling import ways
from sendmsg.pump import Pump

logger = structlog.stdlib.get_logger(__name__)

EVERY: Final = 15.0  # seconds, as Prometheus by our configuration


class Alerts(Pump):
    name = "alerts"
    poll = EVERY

    def __init__(self) -> None:
        super().__init__()
        self.past = Past(CONDITIONS)
        self.episodes = Episodes(CONDITIONS)
        self._ways = ways()
        self._recalled = self._untold = False

    def step(self) -> int:
        if not self._recalled:
            self.episodes.recall()
            self._recalled = True
        self.look_around()
        changed = self.episodes.look(self.past, time.time())
        for one in changed:
            logger.warning("alert", about=one.line)
        told = [way.tell(changed) for way in self._ways]
        self._untold |= bool(changed)
        if self._untold and all(told):
            self.episodes.remember()
            self._untold = False
        return 0

    def look_around(self) -> None:
        """Scrape every target once."""
        for url in settings.ALERTS_TARGETS:
            self.past.add(url, time.monotonic(), scrape(url))


def once(seconds: float) -> list[Episode]:
    """What holds now, at two looks `seconds` apart: states, and what rises meanwhile."""
    alerts = Alerts()
    alerts.look_around()
    time.sleep(seconds)
    alerts.look_around()
    now = time.time()
    return [
        Episode(condition, labels, value, now)
        for condition in CONDITIONS
        for labels, value in condition.test.holds(alerts.past).items()
    ]
