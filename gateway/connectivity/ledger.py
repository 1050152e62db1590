"""What the lines have carried and cost, by day, week and month; and what a budget says to that (DESIGN sections 4 to 6).

Plain values, no disk and no clock: the owner charges what was really used, asks before it sends, and saves the book in the
spool's state. Which octets were used is for those to say who hold the connection; `wire_octets` adds what the kernel's counts
leave out. Periods end by the calendar of the schedule's zone, and only by a clock that is set (`periods`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from gateway.config.settings import BudgetSettings, TariffSettings
from gateway.connectivity.periods import Per, period_ends, period_of, turn

STATE = "ledger"
"""The name under which it is kept in the spool's state."""

SOFT = 0.9
"""Share of a budget from which only urgent mail may still use it."""

MAX_ACCOUNTS = 500
"""Links and windows that are remembered; beyond that those used longest ago go first."""

Stop = Literal["none", "soft", "hard"]

PERS: tuple[Per, ...] = ("day", "week", "month")

_MILLION = 1_000_000


class Count(msgspec.Struct, omit_defaults=True):
    """Of one period: octets both ways, seconds of use, sessions, and money in millionths of its unit."""

    period: str = ""
    octets: int = 0
    seconds: float = 0.0
    sessions: int = 0
    money: int = 0


class Account(msgspec.Struct, omit_defaults=True):
    """Of one link or window."""

    day: Count = msgspec.field(default_factory=Count)
    week: Count = msgspec.field(default_factory=Count)
    month: Count = msgspec.field(default_factory=Count)

    def of(self, per: Per) -> Count:
        match per:
            case "day":
                return self.day
            case "week":
                return self.week
            case "month":
                return self.month


@dataclass(frozen=True, slots=True)
class Moment:
    """`is_set`: the clock can be right, so that days can be told apart."""

    now: float
    zone: ZoneInfo
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class BudgetState:
    """`stop`: none, soft (only urgent mail may go) or hard (nothing). `renews`: when the next period begins; None for a
    session's budget, which ends with it."""

    budget: BudgetSettings
    used: int
    stop: Stop
    renews: float | None

    @property
    def left(self) -> int:
        return max(0, self.budget.octets - self.used)

    def after(self, octets: int) -> BudgetState:
        """What it says when so much more has been used."""
        used = self.used + octets
        return replace(self, used=used, stop=_stop(used, self.budget))

    def admits(self, octets: int, *, urgent: bool) -> bool:
        """May something of this size start? What would burst the budget waits for the next period, unless it is larger than
        the whole budget: that would wait for ever, and goes while nothing was used yet."""
        if self.stop == "hard" or (self.stop == "soft" and not urgent):
            return False
        return octets <= self.left or (octets > self.budget.octets and self.used == 0)


def _stop(used: int, budget: BudgetSettings) -> Stop:
    if used >= budget.octets:
        return "hard"
    return "soft" if used >= SOFT * budget.octets else "none"


def account_of_link(name: str) -> str:
    return f"link {name}"


def account_of_window(name: str) -> str:
    return f"window {name}"


class Ledger:
    """The book. `take_unsaved` gives what is to be written, once."""

    def __init__(self, saved: bytes | None = None) -> None:
        self._accounts: dict[str, Account] = {}
        self._unsaved = False
        self.unsaved_octets = 0
        if saved is not None:
            with contextlib.suppress(msgspec.MsgspecError):
                self._accounts = msgspec.json.decode(saved, type=dict[str, Account])

    def charge(
        self,
        accounts: Iterable[str],
        moment: Moment,
        *,
        octets: int = 0,
        seconds: float = 0.0,
        sessions: int = 0,
        money: float = 0.0,
    ) -> None:
        """Something was used: add it to the day, week and month of each account. Less than nothing puts right what was charged
        before; no count falls below zero by it."""
        for name in accounts:
            account = self._accounts.pop(name, None) or Account()
            self._accounts[name] = account  # used last, so forgotten last
            for per in PERS:
                count = self._turned(account, per, moment)
                count.octets = max(0, count.octets + octets)
                count.seconds += seconds
                count.sessions += sessions
                count.money += round(money * _MILLION)
        while len(self._accounts) > MAX_ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]
        self._unsaved = True
        self.unsaved_octets += abs(octets)

    def used(self, account: str, per: Per, moment: Moment) -> Count:
        """A copy of the count of the period in which the moment lies."""
        found = self._accounts.get(account)
        return msgspec.structs.replace(self._turned(found, per, moment)) if found is not None else Count()

    def state(self, account: str, budget: BudgetSettings, moment: Moment, in_session: int = 0) -> BudgetState:
        """What a budget says now. `in_session`: octets of the session in progress, for budgets per session."""
        if budget.per == "session":
            used, renews = in_session, None
        else:
            used = self.used(account, budget.per, moment).octets
            renews = period_ends(moment.now, budget.per, moment.zone)
        return BudgetState(budget, used, _stop(used, budget), renews)

    def take_unsaved(self) -> bytes | None:
        """What is to be written to the spool's state; None if nothing is new. What is charged between two writes is lost in
        a power cut: write when `unsaved_octets` has grown to what that may cost, and at the end of a session."""
        if not self._unsaved:
            return None
        self._unsaved, self.unsaved_octets = False, 0
        return msgspec.json.format(msgspec.json.encode(self._accounts)) + b"\n"

    def _turned(self, account: Account, per: Per, moment: Moment) -> Count:
        count = account.of(per)
        period, is_new = turn(count.period, period_of(moment.now, per, moment.zone), moment.is_set)
        if is_new:
            count.octets, count.seconds, count.sessions, count.money = 0, 0.0, 0, 0
        if period != count.period:
            count.period = period
            self._unsaved = True
        return count


def cost(tariff: TariffSettings, seconds: float, octets: int) -> float:
    """What one session costs, in the tariff's own money. Time is rounded up to `rounding`, as bills do; a call that lasted
    no time at all costs nothing for its time."""
    money = 0.0
    if tariff.per_minute is not None and seconds > 0:
        # A float a hair above a whole number of steps is that number: 60.0000001 s is one minute.
        steps = math.ceil(round(seconds / tariff.rounding, 6))
        money += steps * tariff.rounding / 60 * tariff.per_minute
    if tariff.per_mb is not None:
        money += octets / _MILLION * tariff.per_mb
    return round(money, 6)


_HEADERS = {4: 52, 6: 72}  # IP and TCP with its time stamps (RFC 7323), which every Linux sends


def wire_octets(payload: int, segments: int, ip_version: Literal[4, 6] = 4) -> int:
    """Octets on the line, from what the kernel counts of a connection (TCP_INFO): payload, retransmissions included, and
    segments. Framing below IP is the provider's and on no bill."""
    return payload + segments * _HEADERS[ip_version]
