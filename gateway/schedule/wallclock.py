"""Wall-clock readings of one zone, and the instants at which a clock on the wall shows them. Pure.

A *reading* is what the clock on the wall shows, as seconds from 1970-01-01 00:00 of that wall (so a date begins at a
multiple of 86400). An *instant* is seconds since 1970 in UTC. Readings jump where the zone's offset changes: some are
shown twice, some never. Nothing here knows of windows.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from math import floor, inf
from zoneinfo import ZoneInfo

DAY = 86400
"""Seconds, and the readings of a date."""

Stretch = tuple[float, float]
"""Instants from the first to before the second."""

_EPOCH = date(1970, 1, 1).toordinal()
# Zones have offsets of less than a day; two days of room keep every computation inside what datetime can hold.
FIRST_DAY = 3 - _EPOCH
LAST_DAY = date.max.toordinal() - 3 - _EPOCH
_MOST_DAYS_REMEMBERED = 2048


def date_of(day: int) -> date:
    """The date of a day number (days since 1970-01-01)."""
    return date.fromordinal(day + _EPOCH)


def day_of(when: date) -> int:
    """The day number of a date."""
    return when.toordinal() - _EPOCH


def within_calendar(instant: float) -> float:
    """The instant, or the nearest one that dates can be computed for (years 1 to 9999)."""
    return min(max(instant, FIRST_DAY * DAY), LAST_DAY * DAY)


class WallClock:
    """Converts between readings and instants of one zone. Remembers what it learnt of a bounded number of days."""

    __slots__ = ("_days", "_steady_days", "zone")

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._days: dict[int, tuple[int, int | None, int]] = {}
        self._steady_days: dict[int, int | None] = {}

    def offset(self, instant: float) -> int:
        """Seconds by which the wall is ahead of UTC at that instant."""
        ahead = datetime.fromtimestamp(within_calendar(instant), UTC).astimezone(self.zone).utcoffset()
        return int(ahead.total_seconds()) if ahead is not None else 0

    def reading(self, instant: float) -> float:
        """What the clock on the wall shows."""
        return instant + self.offset(instant)

    def day(self, instant: float) -> int:
        """The day number of the date that the wall shows at that instant."""
        return floor(self.reading(instant)) // DAY

    def change_on(self, day: int) -> tuple[int, int, int] | None:
        """The change of the offset during a day of UTC: (instant, seconds ahead before it, after it)."""
        before, changed, after = self._facts(day)
        return None if changed is None else (changed, before, after)

    def stretches(self, start: float, end: float) -> list[Stretch]:
        """The instants whose reading is at least `start` and below `end`, in order: one stretch on nearly all days, none
        inside a skipped hour, two where the repeated hour cuts through."""
        steady = {self._steady(day) for day in range(floor(start) // DAY, floor(end) // DAY + 1)}
        if len(steady) == 1 and (same := steady.pop()) is not None:
            return [(start - same, end - same)]
        found: list[Stretch] = []
        for begins, ends, ahead in self._offsets(start, end):
            first, last = max(begins, start - ahead), min(ends, end - ahead)
            if first >= last:
                continue
            if found and first <= found[-1][1]:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
        return found

    def moment(self, reading: float) -> float:
        """When the wall shows this reading: the first time if it does so twice, the end of the jump if it never does."""
        steady = self._steady(floor(reading) // DAY)
        if steady is not None:
            return reading - steady
        segments = self._offsets(reading, reading)
        for begins, ends, ahead in segments:
            if begins <= reading - ahead < ends:
                return reading - ahead
        for begins, _ends, ahead in segments[1:]:
            if reading < begins + ahead:
                return begins
        raise AssertionError("every reading is shown or jumped over")

    def earliest(self, reading: float) -> float:
        """An instant before which no reading from this one on is shown."""
        steady = self._steady(floor(reading) // DAY)
        if steady is not None:
            return reading - steady
        return reading - max(ahead for _begins, _ends, ahead in self._offsets(reading, reading))

    def latest(self, reading: float) -> float:
        """An instant from which no reading before this one is shown."""
        return reading - min(ahead for _begins, _ends, ahead in self._offsets(reading, reading))

    def _steady(self, day: int) -> int | None:
        """The offset, if it is the same all through this date and the days of UTC around it; else None."""
        if day not in self._steady_days:
            if len(self._steady_days) >= _MOST_DAYS_REMEMBERED:
                self._steady_days.clear()
            around = [self._facts(day + step) for step in (-1, 0, 1)]
            same = all(changed is None for _before, changed, _after in around)
            self._steady_days[day] = around[0][0] if same else None
        return self._steady_days[day]

    def _offsets(self, start: float, end: float) -> list[tuple[float, float, int]]:
        """The offsets in force around these readings, as (from, until, seconds ahead); the outer ends are open."""
        first, last = floor(start - DAY) // DAY, floor(end + DAY) // DAY
        segments: list[tuple[float, float, int]] = []
        begins: float = -inf
        ahead = self._facts(first)[0]
        for day in range(first, last + 1):
            _, changed, after = self._facts(day)
            if changed is not None:
                segments.append((begins, changed, ahead))
                begins, ahead = changed, after
        segments.append((begins, inf, ahead))
        return segments

    def _facts(self, day: int) -> tuple[int, int | None, int]:
        """Of a day of UTC: the offset at its start, the instant at which it changes (None), the offset at its end."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= _MOST_DAYS_REMEMBERED:
                self._days.clear()
            known = self._days[day] = self._learn(day)
        return known

    def _learn(self, day: int) -> tuple[int, int | None, int]:
        low = day * DAY
        high = low + DAY
        before, after = self.offset(low), self.offset(high)
        if before == after:
            return before, None, after
        while high - low > 1:  # no zone changes twice in one day, so halving finds the change to the second
            middle = (low + high) // 2
            if self.offset(middle) == before:
                low = middle
            else:
                high = middle
        return before, high, after
