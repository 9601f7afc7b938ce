"""By what the messages of one broadcast leave, and whether anything could carry them.

They differ in their number and perhaps in their text, so what they share is matched and judged once.
"""

from dataclasses import replace

from dispatch import routes, suitability
from dispatch.routes import Book, Subject
from dispatch.suitability import Unsuited


class Ways:
    """For one broadcast, while it is taken. `subject`: what its messages share; `same`: all have one text."""

    def __init__(self, subject: Subject, same: bool) -> None:
        self._subject = subject
        self._same = same
        self._carriers = suitability.carriers()
        self._judged: dict[int, Unsuited | None] = {}
        fitting = [
            route for route in routes.book().routes if replace(route, prefixes=(), countries=frozenset()).fits(subject)
        ]
        self._book = Book(tuple(fitting))
        anywhere = not fitting or not (fitting[0].prefixes or fitting[0].countries)
        self._only = self._book.lane(subject).number if anywhere else None

    def find(self, to: str, body: str) -> int | Unsuited:
        """The number of the lane to this recipient, or why nothing could carry the text there."""
        lane = self._only
        if lane is None:
            lane = self._book.lane(self._subject.to_another(to)).number
        if not self._same:
            return self._carriers.judge(self._subject.to_another(to), body) or lane
        if lane not in self._judged:
            self._judged[lane] = self._carriers.judge(self._subject.to_another(to), body)
        return self._judged[lane] or lane
