"""What is known of relays that failed as a whole, and what a session's end means for that (DESIGN sections 4, 8; P9)."""

from __future__ import annotations

from dataclasses import replace

from gateway.clock import iso
from gateway.config.settings import QueueSettings
from gateway.courier.contract import SessionEnd
from gateway.dispatch.facts import RelayTrouble
from gateway.dispatch.retry import TroubleCount, TroubleKind, next_trouble
from gateway.events import Alarm, Event, Remark


def trouble_kind(end: SessionEnd, *, interrupted: bool, idle_while_mail_waits: bool) -> TroubleKind | None:
    """None: the session did what a session does. A session that ended in order but interrupted a message counts as broken,
    so that it is not started again and again without a pause."""
    match end.why:
        case "done" | "damaged":
            if idle_while_mail_waits:
                return "unreachable"  # it greets and closes: not to be called again at once
            return "broken" if interrupted else None
        case "auth" | "setup" | "tls":
            return "stubborn"
        case "broken":
            return "broken"
        case "busy" if end.took:
            return None  # it has a limit for each session: the next one goes on at once
        case "unreachable" | "refused" | "busy" | "slow":
            return "unreachable"
        case "names" | "loop":
            return end.why


def told_of_domain(name: str, end: SessionEnd, trouble: RelayTrouble, *, has_relay: bool) -> Event | None:
    """What is said of a domain that cannot be reached by itself. A person must see to it only where no relay takes its mail and
    waiting does not help."""
    if has_relay and not trouble.keeps:
        return Remark(name, f"{end.text}; its mail goes through a relay until {iso(trouble.until)}")
    return Alarm(name, end.text) if end.alarm else None


MOST_KEPT = 2000
"""Relays and domains of which trouble is remembered."""


class Troubles:
    """By relay name. In memory only: after a restart every relay is tried again, by one session."""

    __slots__ = ("_counts", "now")

    def __init__(self) -> None:
        self._counts: dict[str, TroubleCount] = {}
        self.now: dict[str, RelayTrouble] = {}

    def failed(self, relay: str, kind: TroubleKind, why: str, now: float, queue: QueueSettings) -> RelayTrouble:
        self._counts[relay], trouble = next_trouble(self._counts.get(relay), kind, why, now, queue)
        self.now[relay] = trouble
        if len(self.now) > MOST_KEPT:
            self._tidy()
        return trouble

    def _tidy(self) -> None:
        """Domains are as many as people write to: the half whose trouble is longest over is forgotten."""
        for name in sorted(self.now, key=lambda name: self.now[name].until)[: MOST_KEPT // 2]:
            self.forget(name)
        self._counts = {name: count for name, count in self._counts.items() if name in self.now}

    def succeeded(self, relay: str) -> bool:
        """One success wakes all that waits for the relay: True if anything may, also where an operator waived its time."""
        had_failed = self._counts.pop(relay, None) is not None
        return self.now.pop(relay, None) is not None or had_failed

    def waive(self, relay: str) -> None:
        """Try again at once, but remember how often it failed."""
        self.now.pop(relay, None)

    def line_is_back(self) -> None:
        """Lines that broke are tried at once; refusals keep their time."""
        for relay, count in self._counts.items():
            if count.kind == "broken":
                self.now.pop(relay, None)

    def another_line(self) -> None:
        """A line was raised: what another one did not reach may be reached over it. Refusals keep their time."""
        for relay in [relay for relay, trouble in self.now.items() if not trouble.stubborn]:
            self.now.pop(relay)

    def clock_stepped_back(self, latest: float) -> None:
        """None waits beyond this instant of the new time (P7)."""
        for relay, trouble in self.now.items():
            if trouble.until > latest:
                self.now[relay] = replace(trouble, until=latest)

    def forget(self, relay: str) -> None:
        self.succeeded(relay)


class Uptime:
    """Seconds of Online time with a link up, as counted by this process (opportunity age, DESIGN section 8)."""

    __slots__ = ("_from", "_total")

    def __init__(self) -> None:
        self._total = 0.0
        self._from: float | None = None

    def count(self, counting: bool, monotonic: float) -> None:
        self.total(monotonic)
        self._from = monotonic if counting else None

    def total(self, monotonic: float) -> float:
        if self._from is not None:
            self._total += monotonic - self._from
            self._from = monotonic
        return self._total
