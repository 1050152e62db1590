"""The arithmetic of windows: when each opens and closes (DESIGN section 5). Pure; UTC outside, zones inside.

Everything is computed day by day, on demand: for one window and one date the stretches that begin on that date, by what
the clock on the wall shows; those are cut by what is closed, and then joined with the days around where they touch.
What a message may do inside an opening (`only_if`, budgets, links) is decided elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from math import ceil, inf

from gateway.config.rules import ScheduleFile, Span, WindowRule
from gateway.mail.envelope import Class
from gateway.schedule.dates import Dates, readings_of
from gateway.schedule.wallclock import DAY, FIRST_DAY, LAST_DAY, Stretch, WallClock, day_of, within_calendar

HORIZON_DAYS = 400
HORIZON = HORIZON_DAYS * DAY
"""Seconds. The search for openings ends so far ahead; one that never ends is shown as beginning and ending this far off."""

BY_HAND = "opened by hand"
"""The window name of an opening that an operator made with `schedule open`."""

_NOTHING_STANDS = 3600
_BY_HAND_RULE = WindowRule(BY_HAND, None, open=(Span(0, 1440),))


@dataclass(frozen=True, slots=True)
class Opening:
    """One occurrence of a window: instants from `opens` to before `closes`. `once`: by an operator's `schedule open`."""

    window: WindowRule
    opens: float
    closes: float
    once: bool = False


@dataclass(frozen=True, slots=True)
class Once:
    """`schedule open DURATION`: an opening that admits everything, whatever is closed."""

    opens: float
    closes: float


@dataclass(frozen=True, slots=True)
class Skip:
    """`schedule skip`: the opening of the window so named in which the instant `opens` lies does not take place."""

    window: str
    opens: float


@dataclass(frozen=True, slots=True)
class _Course:
    """A window with its place in the file. `exception`: the index of the exception whose `extra` it is. `reach`: no
    stretch that begins on a date goes on for more than so many days after that date. `last_day`: none begins later."""

    order: int
    rule: WindowRule
    exception: int | None
    reach: int
    last_day: float = inf


class Calendar:
    """The openings of one schedule. Immutable but for what it remembers to be quick; a changed schedule is a new one."""

    def __init__(self, file: ScheduleFile, once: Sequence[Once] = (), skips: Sequence[Skip] = ()) -> None:
        self.file = file
        self.wall = WallClock(file.timezone)
        self.dates = Dates(file.exceptions, self.wall)
        by_hand = (Opening(_BY_HAND_RULE, o.opens, o.closes, once=True) for o in once if o.opens < o.closes)
        self._once = sorted(
            (o for o in by_hand if not _is_skipped(o.window.name, (o.opens, o.closes), skips)), key=lambda o: o.opens
        )
        self._skips = tuple(skips)
        self._courses = tuple(course for course in _courses(file) if course.rule.enabled)
        self._sizes = sorted({c.rule.max_message for c in self._courses if c.rule.max_message is not None})
        self._endless: dict[int, tuple[int, Stretch]] = {}
        self._present: tuple[float, float, float | None, tuple[Opening, ...]] = (inf, -inf, None, ())
        self._admitting: dict[tuple[int, ...], tuple[float, Opening | None]] = {}
        self._groups: dict[tuple[Class, int], tuple[int, ...]] = {}

    def has_windows(self) -> bool:
        """Is there any enabled window at all, also one of an exception?"""
        return bool(self._courses)

    def openings(self, after: float, until: float | None = None) -> Iterator[Opening]:
        """The openings that end after `after` and begin before `until` (default: 400 days on), by beginning and then
        file order, computed as they are asked for. One in progress comes with its true beginning."""
        after = within_calendar(after)
        until = after + HORIZON if until is None else within_calendar(until)
        by_hand = (o for o in self._once if o.closes > after and o.opens < until)
        ordered: list[Iterator[tuple[float, int, Opening]]] = [((o.opens, -1, o) for o in by_hand)]
        ordered += [self._numbered(course, after, until) for course in self._courses]
        for _opens, _order, opening in merge(*ordered, key=lambda item: item[:2]):
            yield opening

    def open_at(self, instant: float) -> tuple[Opening, ...]:
        """What is open at that instant: by hand first, then in file order."""
        return self._at(within_calendar(instant))[3]

    def next_edge(self, after: float) -> float | None:
        """The next opening or closing after that instant, None if there is none within 400 days."""
        return self._at(within_calendar(after))[2]

    def next_admitting(self, message_class: Class, size: int, after: float) -> Opening | None:
        """The first opening that ends after `after` and whose window admits a message of this class and size (octets).

        Answers are remembered for each set of windows that admit, so that a queue of many messages costs few searches."""
        after = within_calendar(after)
        group = (message_class, bisect_left(self._sizes, size))  # sizes between two limits are all admitted alike
        admitting = self._groups.get(group)
        if admitting is None:
            admitting = tuple(i for i, c in enumerate(self._courses) if c.rule.admits(message_class, size))
            self._groups[group] = admitting
        asked, opening = self._admitting.get(admitting, (inf, None))
        # The answer stands until its opening has ended. That there is none stands for an hour: the end of the search
        # moves on with the clock, but what comes into sight there is 400 days away.
        stands = asked <= after < (opening.closes if opening is not None else asked + _NOTHING_STANDS)
        if not stands:
            opening = self._first(admitting, after)
            self._admitting[admitting] = (after, opening)
        return opening

    def _first(self, admitting: Sequence[int], after: float) -> Opening | None:
        best = next((o for o in self._once if o.closes > after), None)
        for index in admitting:
            until = after + HORIZON if best is None else min(best.opens, after + HORIZON)
            best = next(self._of(self._courses[index], after, until), best)
        return best

    def _at(self, instant: float) -> tuple[float, float, float | None, tuple[Opening, ...]]:
        """(from, until, next edge, open): what holds for every instant from the first to before the second."""
        if self._present[0] <= instant < self._present[1]:
            return self._present
        edges = [edge for o in self._once for edge in (o.opens, o.closes) if edge > instant]
        open_now = [o for o in self._once if o.opens <= instant < o.closes]
        edge = min(edges, default=inf)
        for course in self._courses:
            opening = next(self._of(course, instant, min(edge, instant + HORIZON)), None)
            if opening is None:
                continue
            if opening.opens <= instant:
                open_now.append(opening)
                edge = min(edge, opening.closes)
            else:
                edge = min(edge, opening.opens)
        # What never ends is shown as beginning 400 days before the present date: so not beyond this date.
        tomorrow = self.wall.earliest((self.wall.day(instant) + 1) * DAY)
        until = max(min(edge, tomorrow), instant + 1)
        next_edge = edge if edge <= instant + HORIZON else None
        if edge < until:  # an edge less than a second away: nothing to remember
            return instant, edge, next_edge, tuple(open_now)
        self._present = (instant, until, next_edge, tuple(open_now))
        return self._present

    def _numbered(self, course: _Course, after: float, until: float) -> Iterator[tuple[float, int, Opening]]:
        for opening in self._of(course, after, until):
            yield opening.opens, course.order, opening

    def _of(self, course: _Course, after: float, until: float) -> Iterator[Opening]:
        """One window's openings, without those that an operator skipped; of one that never ends the rest of today."""
        for opens, closes in self._runs(course, after, until):
            if _is_skipped(course.rule.name, (opens, closes), self._skips):
                if closes < after + HORIZON - DAY:
                    continue
                opens = self.wall.moment((self.wall.day(after) + 1) * DAY)
                if opens >= until:
                    continue
            yield Opening(course.rule, opens, closes)

    def _runs(self, course: _Course, after: float, until: float) -> Iterator[Stretch]:
        """One window's openings that end after `after` and begin before `until`, with their true beginnings.

        Looks a few days back, and further only while what is found may have begun earlier still."""
        today = self.wall.day(after)
        last = today + HORIZON_DAYS
        seen, endless = self._endless.get(course.order, (today - 1, (0.0, 0.0)))
        if seen == today and until <= after + HORIZON:
            yield endless
            return
        back = course.reach + 2
        while True:
            first = max(today - back, FIRST_DAY)
            runs = self._joined(course, first, max(last, self.wall.day(until)), after, until)
            run = next(runs, None)
            if run is None:
                return
            # Nothing of the dates before `first` reaches as far as this.
            if run[0] > self.wall.latest((first + course.reach) * DAY) or back >= HORIZON_DAYS:
                break
            back = min(back * 4, HORIZON_DAYS)
        if back >= HORIZON_DAYS and run[1] >= self.wall.earliest(last * DAY) and until <= after + HORIZON:
            self._endless[course.order] = (today, run)
        yield run
        yield from runs

    def _joined(self, course: _Course, first: int, last: int, after: float, until: float) -> Iterator[Stretch]:
        """What begins on the days `first` to `last`, joined where it touches or overlaps."""
        waiting: list[Stretch] = []
        for day in range(first, min(last, LAST_DAY) + 1):
            if day > course.last_day and not waiting:
                return
            waiting = _join([*waiting, *self.begun_on(course, day)]) if day <= course.last_day else waiting
            settled = self.wall.earliest((day + 1) * DAY)  # what ends before this, no later date can add to
            while waiting and waiting[0][1] < settled:
                run = waiting.pop(0)
                if run[0] >= until:
                    return
                if run[1] > after:
                    yield run
            if settled >= until and (not waiting or waiting[0][0] >= until):
                return
        for run in waiting:
            if run[1] > after and run[0] < until:
                yield run

    def begun_on(self, course: _Course, day: int) -> list[Stretch]:
        """What of a window begins on a date, less what is closed."""
        facts, rule = self.dates.on(day), course.rule
        if course.exception is not None:
            if course.exception not in facts.named:
                return []
        elif rule.days is not None and facts.weekday not in rule.days:
            return []
        found: list[Stretch] = []
        for minute in rule.at:
            begins = self.wall.moment(day * DAY + minute * 60)
            found.append((begins, begins + rule.longest))
        for span in rule.open:
            start, end = readings_of(day, span)
            whole = self.wall.stretches(start, end)
            found += whole if rule.every is None else self._at_marks(rule, start, end, whole)
        if self.dates.any_closed and found:
            closed = [c for d in range(day - 1, day + course.reach + 1) for c in self.dates.on(d).closed]
            found = _without(found, closed)
        return found

    def _at_marks(self, rule: WindowRule, start: int, end: int, whole: Sequence[Stretch]) -> list[Stretch]:
        """The openings of `every`: at most `for` from each mark, within `open`. Marks count on the wall."""
        interval = max(rule.every or 0.0, 1.0)
        steady = len(whole) == 1 and whole[0][1] - whole[0][0] == end - start  # no change of the clock within
        if steady and rule.longest >= interval:
            return list(whole)
        found: list[Stretch] = []
        for number in range(ceil((end - start) / interval)):
            begins = whole[0][0] + number * interval if steady else self.wall.moment(start + number * interval)
            ends = begins + rule.longest
            if found and found[-1][1] >= ends:
                continue  # marks of a skipped hour coincide
            found += [(max(begins, a), min(ends, b)) for a, b in whole if a < ends and b > begins]
        return found


def _courses(file: ScheduleFile) -> Iterator[_Course]:
    order = 0
    for rule in file.windows:
        yield _Course(order, rule, None, _reach(rule))
        order += 1
    for index, exception in enumerate(file.exceptions):
        last = max((inf if dates.yearly else day_of(dates.last) for dates in exception.dates), default=-inf)
        for rule in exception.extra:
            yield _Course(order, rule, index, _reach(rule), last)
            order += 1


def _reach(rule: WindowRule) -> int:
    """In days; see _Course. An `open` ends on the next date at the latest, an `at` goes on for as long as `for` says."""
    return 1 if rule.open else 1 + ceil(rule.longest / DAY)


def _is_skipped(name: str, run: Stretch, skips: Sequence[Skip]) -> bool:
    return any(skip.window == name and run[0] <= skip.opens < run[1] for skip in skips)


def _join(stretches: list[Stretch]) -> list[Stretch]:
    """In order, those that touch or overlap as one."""
    joined: list[Stretch] = []
    for begins, ends in sorted(stretches):
        if begins >= ends:
            continue
        if joined and begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(ends, joined[-1][1]))
        else:
            joined.append((begins, ends))
    return joined


def _without(stretches: list[Stretch], closed: Sequence[Stretch]) -> list[Stretch]:
    """What `closed` leaves."""
    for shut, reopened in closed:
        left: list[Stretch] = []
        for begins, ends in stretches:
            if reopened <= begins or ends <= shut:
                left.append((begins, ends))
                continue
            if begins < shut:
                left.append((begins, shut))
            if reopened < ends:
                left.append((reopened, ends))
        stretches = left
    return stretches
