"""Who pays for what goes over a line: charges the ledger as sessions use it, and says what budgets say (DESIGN sections 4, 5).

A message is charged when it is taken, by its size and what its segments add, so that a budget holds within a session and a
power cut loses little; at the end of the session the estimate is put right by what the kernel counted. A *use* of a line is
what a tariff prices: one call of a dialled link, else the time of one session; several sessions at once are one use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import BudgetSettings, LinkSettings, Settings
from gateway.connectivity.ledger import (
    BudgetState,
    Count,
    Ledger,
    Moment,
    account_of_link,
    account_of_window,
    cost,
    wire_octets,
)
from gateway.connectivity.state import LinkState
from gateway.courier.contract import SessionEnd
from gateway.schedule.calendar import Opening

SEGMENT = 1400
"""Octets of payload in a segment, where the kernel does not count them."""

CLOSING = 3
"""Segments that a connection still exchanges after the last look at its counts."""

TALK = 500
"""Octets that a message costs besides its content: commands, answers, their headers."""

MOST_UNSAVED, LEAST_UNSAVED = 1_000_000, 10_000
"""Octets charged and not on disk, within a hundredth of the smallest budget."""

Key = object


@dataclass(slots=True)
class _Use:
    """One use of a line: since when (monotonic), octets and money charged so far, sessions that run."""

    since: float
    octets: int = 0
    money: float = 0.0
    seconds: float = 0.0
    sessions: int = 0
    is_call: bool = False
    key: Key = field(default_factory=object)


@dataclass(slots=True)
class Metered:
    """What one session has been charged, by the window that pays (None: none does). `given_back`: octets of that which it did
    not use, as its end showed."""

    link: str
    opening: str | None
    charged: dict[str | None, int] = field(default_factory=dict)
    given_back: int = 0

    @property
    def octets(self) -> int:
        return sum(self.charged.values())


def estimate(size: int) -> int:
    """Octets on the line for a message of this size, before it was sent."""
    return size + TALK + wire_octets(0, size // SEGMENT + size // (2 * SEGMENT))


def used_octets(end: SessionEnd) -> tuple[int, int]:
    """Octets on the line, out and in, with headers and retransmissions."""
    out, into = end.segments_out, end.segments_in
    if not out + into and end.octets_out + end.octets_in:
        data_out, data_in = -(-end.octets_out // SEGMENT), -(-end.octets_in // SEGMENT)
        out, into = data_out + data_in // 2 + CLOSING, data_in + data_out // 2 + CLOSING
    return (
        wire_octets(end.octets_out + end.resent, out + CLOSING, end.ip_version),
        wire_octets(end.octets_in, into + CLOSING, end.ip_version),
    )


class Meter:
    """Owns the ledger in force. `on_unsaved` is called when enough was charged to be written before the session ends."""

    def __init__(
        self,
        saved: bytes | None,
        settings: Settings,
        schedule: ScheduleFile,
        *,
        clock: Clock,
        clock_is_set: Callable[[], bool],
        on_unsaved: Callable[[], None],
    ) -> None:
        self.ledger = Ledger(saved)
        self._clock, self._clock_is_set, self._on_unsaved = clock, clock_is_set, on_unsaved
        self._uses: dict[str, _Use] = {}
        self._in_session: dict[str, tuple[Key, int]] = {}  # by account: of which session (opening), octets
        self._openings: frozenset[tuple[str, float]] = frozenset()
        self._is_offline = True
        self._metered: frozenset[str] = frozenset()
        self._save_now = False
        self.replace(settings, schedule)

    def replace(self, settings: Settings, schedule: ScheduleFile) -> None:
        """A reload. What was used stays used."""
        self._links: dict[str, LinkSettings] = {link.name: link for link in settings.links}
        self._zone: ZoneInfo = schedule.timezone
        self._windows = {w.name: w.budget for w in schedule.all_windows if w.budget is not None}
        budgets = [*self._windows.values(), *(link.budget for link in settings.links if link.budget is not None)]
        smallest = min((budget.octets for budget in budgets), default=MOST_UNSAVED * 100)
        self._most_unsaved = max(LEAST_UNSAVED, min(MOST_UNSAVED, smallest // 100))

    def moment(self) -> Moment:
        return Moment(self._clock.now(), self._zone, self._clock_is_set())

    # -- what the decision is made from ---------------------------------------------------------------------------

    def links_are(self, links: Iterable[LinkState]) -> None:
        """Which lines cost is not only in the file: NetworkManager may say so."""
        self._metered = frozenset(link.name for link in links if link.kind == "metered")

    def openings_are(self, openings: Iterable[Opening], *, is_offline: bool) -> None:
        """Offline, a session budget is one opening's: else a session that ended would be followed by the next at once."""
        self._openings = frozenset((opening.window.name, opening.opens) for opening in openings)
        self._is_offline = is_offline

    def link_budgets(self) -> dict[str, BudgetState]:
        """By link name; links without a budget are left out."""
        return {
            name: self._state(account_of_link(name), link.budget)
            for name, link in self._links.items()
            if link.budget is not None
        }

    def window_budgets(self) -> dict[str, BudgetState]:
        """By window name."""
        return {name: self._state(account_of_window(name), budget) for name, budget in self._windows.items()}

    def _state(self, account: str, budget: BudgetSettings) -> BudgetState:
        key, octets = self._in_session.get(account, (None, 0))
        return self.ledger.state(account, budget, self.moment(), octets if key == self._key(account) else 0)

    def _key(self, account: str) -> Key:
        """Which session of this account it is."""
        if not account.startswith("link "):
            name = account.removeprefix("window ")
            return frozenset(opening for opening in self._openings if opening[0] == name)
        link = account.removeprefix("link ")
        use = self._uses.get(link)
        if use is not None and (use.is_call or not self._is_offline):
            return use.key
        return self._openings if self._is_offline else None

    def month(self, link: str) -> Count | None:
        """What this link has carried and cost this month; None where no count is kept of it."""
        return self.ledger.used(account_of_link(link), "month", self.moment()) if self._counts(link) else None

    def has_budget(self, link: str) -> bool:
        """May what goes over this link run into a budget: its own, or that of a window?"""
        return bool(self._windows) or (link in self._links and self._links[link].budget is not None)

    def leaves_more(self, session: Metered) -> bool:
        """Is more left of a budget, now that this session has ended, than when it was asked last? It used less than was
        thought, be it by an octet: a message may just fit now; or Online, where each session has its budget anew (Offline the
        opening has it)."""
        budget = self._links[session.link].budget if session.link in self._links else None
        is_new = budget is not None and budget.per == "session" and not self._is_offline
        return is_new or (self.has_budget(session.link) and session.given_back > 0)

    def has_tariff(self, link: str) -> bool:
        return link in self._links and self._links[link].tariff is not None

    # -- charging ---------------------------------------------------------------------------------------------------

    def raised(self, link: str) -> None:
        """A call begins: from here on it costs, whether or not a session comes of it."""
        self._uses.setdefault(link, _Use(self._clock.monotonic())).is_call = True

    def put_down(self, link: str) -> None:
        """The call is over: its last minute is charged."""
        use = self._uses.pop(link, None)
        if use is not None and self._counts(link):
            self._price(link, use, 0)
            self._save_now = True

    def probed(self, link: str, octets: int) -> None:
        """A probe used the line, outside of any session: the link pays, and no window does."""
        if not self._counts(link):
            return
        tariff = self._links[link].tariff
        money = cost(tariff, 0.0, octets) if tariff is not None else 0.0
        self.ledger.charge([account_of_link(link)], self.moment(), octets=octets, money=money)
        self._look_at_unsaved()

    def may_probe(self, link: str) -> bool:
        """Nothing more goes over a link whose budget is used up, not even a question."""
        state = self.link_budgets().get(link)
        return state is None or state.budget.per == "session" or state.stop != "hard"

    def begun(self, link: str, opening: str | None) -> Metered:
        """A session begins; `opening`: the window that pays for what no message pays for."""
        use = self._uses.setdefault(link, _Use(self._clock.monotonic()))
        use.sessions += 1
        return Metered(link, opening)

    def taken(self, session: Metered, size: int, window: str | None) -> None:
        """A message is about to be sent in this session; `window` pays for it. A negative size: after all it is not."""
        octets = estimate(size) if size >= 0 else -estimate(-size)
        session.charged[window] = session.charged.get(window, 0) + octets
        self._charge(session.link, window, octets)

    def ended(self, session: Metered, end: SessionEnd) -> float | None:
        """The session is over: the estimate is put right. Its money, None where its link has no tariff."""
        octets = sum(used_octets(end))
        self._put_right(session, octets)
        use = self._uses.setdefault(session.link, _Use(self._clock.monotonic(), sessions=1))
        use.sessions -= 1
        use.octets += octets
        money = self._price(session.link, use, 1) if self._counts(session.link) else None
        if not use.sessions and not use.is_call:
            del self._uses[session.link]
        self._save_now = True
        return money

    def _put_right(self, session: Metered, octets: int) -> None:
        """What was really used, shared among those who were charged, by what they were charged."""
        charged = session.octets
        if not charged:
            self._charge(session.link, session.opening, octets)
            return
        session.given_back = charged - octets
        left = octets - charged
        shares = sorted(session.charged.items(), key=lambda item: item[1])
        for number, (window, part) in enumerate(shares, 1):
            share = left if number == len(shares) else (octets - charged) * part // charged
            left -= share
            self._charge(session.link, window, share)

    def _charge(self, link: str, window: str | None, octets: int) -> None:
        accounts = [account_of_link(link)] if self._counts(link) else []
        if window in self._windows:
            accounts.append(account_of_window(window))
        if not accounts:
            return
        self.ledger.charge(accounts, self.moment(), octets=octets)
        for account in accounts:
            key = self._key(account)
            known, before = self._in_session.get(account, (None, 0))
            self._in_session[account] = (key, max(0, (before if known == key else 0) + octets))
        self._look_at_unsaved()

    def _look_at_unsaved(self) -> None:
        if self.ledger.unsaved_octets > self._most_unsaved:
            self._save_now = True
            self._on_unsaved()

    def _price(self, link: str, use: _Use, sessions: int) -> float | None:
        """Time and money of a use since they were charged last."""
        seconds = self._clock.monotonic() - use.since
        tariff = self._links[link].tariff if link in self._links else None
        total = cost(tariff, seconds, use.octets) if tariff is not None else 0.0
        money, use.money = total - use.money, total
        more, use.seconds = seconds - use.seconds, seconds
        self.ledger.charge([account_of_link(link)], self.moment(), seconds=more, sessions=sessions, money=money)
        return money if tariff is not None else None

    def _counts(self, link: str) -> bool:
        """Is a count kept of this link? A line that costs nothing would only cost writes."""
        settings = self._links.get(link)
        return settings is not None and (
            settings.kind != "permanent"
            or link in self._metered
            or settings.budget is not None
            or settings.tariff is not None
        )

    def save_all(self) -> None:
        """The gateway ends: what was charged since is written with the rest."""
        self._save_now = True

    def take_unsaved(self) -> bytes | None:
        """For the spool's state: at the end of a session, and when much was charged since."""
        if not self._save_now:
            return None
        self._save_now = False
        return self.ledger.take_unsaved()
