"""Lanes: the queues within the queue. Messages of one lane have the same connections to leave by.

A lane is a route, a mode and a channel; its number stands on each message's row, so that the relay takes exactly what a
connection has room for, however long the other lanes are. A held row, of a paused broadcast, has its lane's number
negated: no relay looks there. Zero belongs to rows whose lane is not worked out yet.
"""

from dataclasses import dataclass

from dispatch.vocabulary import Channel

DEFAULT = 0
"""Where a message has no route: all connections that fit, by weight."""

_CHANNELS = tuple(channel.value for channel in Channel)
_SPAN = 8  # channels that a number has room for, so that adding one moves no lane


@dataclass(frozen=True, slots=True)
class Lane:
    """`route`: its id, or `DEFAULT`. `test`: of messages made with a test key, which only reach sandboxes."""

    route: int
    test: bool
    channel: str

    @property
    def number(self) -> int:
        """Above zero, and the same for ever."""
        return (self.route * 2 + self.test) * _SPAN + _CHANNELS.index(self.channel) + 1


def lane_of(number: int) -> Lane:
    """The lane with this number, held or not."""
    rest, channel = divmod(abs(number) - 1, _SPAN)
    return Lane(rest // 2, bool(rest % 2), _CHANNELS[channel])
