"""Days, which are those of UTC wherever something is kept, archived or looked up by day."""

from datetime import UTC, date, datetime, time, timedelta


def bounds(day: date) -> tuple[datetime, datetime]:
    """Its first moment, and that of the day after it. Raises OverflowError for the last day there is."""
    begin = datetime.combine(day, time(), UTC)
    return begin, begin + timedelta(days=1)
