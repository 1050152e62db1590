"""When dialled links are called and put down (DESIGN sections 5, rules 3 and 4, and 6). How is `connectivity.dial`'s.

A line is called because the decision asked for it (`want`), never by itself; it is put down as soon as nothing is left that may
go over it, also after an error. One call an opening: a line that was put down, or did not come up, waits for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from gateway.clock import Clock
from gateway.config.settings import LinkSettings
from gateway.connectivity import dial
from gateway.connectivity.dial import Dialler
from gateway.connectivity.monitor import Monitor
from gateway.connectivity.state import LinkState
from gateway.dispatch.facts import CallState, Phase, Raise
from gateway.dispatch.meter import Meter
from gateway.errors import GatewayError, NotNow
from gateway.events import Alarm, Journal
from gateway.schedule.calendar import Opening
from gateway.spool.spool import Spool

STATE = "calls"
"""The name under which the openings that had their call are kept in the spool's state."""

STUCK_PAUSE = 60.0
"""Seconds between attempts to put down a line that will not go."""

Key = tuple[str, float]
"""A window's name and the beginning of its opening."""


class Calls:
    """`on_change` is called when a line has come up, was put down or did not come up."""

    def __init__(
        self,
        dialler: Dialler,
        saved: bytes | None,
        *,
        clock: Clock,
        journal: Journal,
        on_change: Callable[[], None],
        on_over: Callable[[], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
    ) -> None:
        """`on_over`: no call is to be made for wishes from before: it failed, or the line was put down. `on_up`, `on_down`: a
        call that costs money begins and ends."""
        self.dialler = dialler
        self._clock, self._journal = clock, journal
        self._on_change, self._on_over = on_change, on_over
        self._on_up, self._on_down = on_up, on_down
        self._spent: dict[str, set[Key]] = _decode(saved)
        self._under_way: dict[str, set[Key]] = {}  # openings for which a call was made that is not over
        self._unsaved = False
        self._open: frozenset[Key] = frozenset()
        self._wanted: set[str] = set()
        self._calling: set[str] = set()
        self._left = dialler.raised  # by an earlier run
        self._hanging: set[str] = set(self._left)
        self._by_hand: set[str] = set()
        self._stuck_until: dict[str, float] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # -- what the decision is made from ---------------------------------------------------------------------------

    def states(self) -> dict[str, CallState]:
        """Of every link that can be called, by name."""
        return {
            name: CallState(
                self._phase(name),
                frozenset(self._spent.get(name, set()) | self._under_way.get(name, set())),
                self.dialler.calls_left(name),
            )
            for name in self.dialler.names
        }

    def _phase(self, name: str) -> Phase:
        if name in self._hanging:
            return "hanging up"
        if name in self._calling:
            return "calling"
        return "raised" if self.dialler.is_raised(name) else "down"

    def seen(self, links: Iterable[LinkState]) -> tuple[LinkState, ...]:
        """The links as mail may use them: not those that are being put down."""
        return tuple(
            replace(link, up=False, usable=False, why="is being put down") if link.name in self._hanging else link
            for link in links
        )

    @property
    def is_calling(self) -> bool:
        return bool(self._calling)

    def openings_are(self, openings: Iterable[Opening]) -> None:
        """Those in progress; what was called for others is forgotten."""
        self._open = frozenset((opening.window.name, opening.opens) for opening in openings)
        for name, spent in tuple(self._spent.items()):
            if spent - self._open:
                self._unsaved = True
                self._spent[name] = spent & self._open

    def take_unsaved(self) -> bytes | None:
        """The openings in which a call is over. One that a crash cut short may be made again (DESIGN section 5, rule 7)."""
        unsaved, self._unsaved = self._unsaved, False
        if not unsaved:
            return None
        return msgspec.json.encode({name: sorted(spent) for name, spent in self._spent.items() if spent})

    # -- calling ----------------------------------------------------------------------------------------------------

    def want(self, verdict: Raise) -> None:
        """A message could leave if this line were up."""
        self._wanted.add(verdict.link)

    def start(self) -> None:
        """Call what was wanted since this was asked last."""
        wanted, self._wanted = self._wanted, set()
        for name in wanted:
            if not self._closing and name not in self._calling and name not in self._hanging:
                self._calling.add(name)
                self._under_way.setdefault(name, set()).update(self._open)
                self._spawn(self._call(name))

    async def _call(self, name: str) -> None:
        try:
            await self.dialler.raise_line(name)
            self._came_up(name)
        except GatewayError as exc:
            if not isinstance(exc, NotNow):
                self._journal.record(Alarm(name, f"was not called: {exc}"))
            self._is_over(name)
        finally:
            self._calling.discard(name)
            self._on_change()

    def _came_up(self, name: str) -> None:
        if self.dialler.is_raised(name):
            self._on_up(name)

    def _is_over(self, name: str) -> None:
        """It stays down until the next start of a window."""
        self._spent[name] = self._spent.get(name, set()) | self._under_way.pop(name, set()) | self._open
        self._unsaved = True
        self._on_over()

    # -- putting down -------------------------------------------------------------------------------------------------

    def hang_up_idle(self, is_busy: Callable[[str], bool]) -> None:
        """Put down what we raised and nobody needs; what an operator raised stays until he puts it down."""
        for name in self.dialler.raised:
            if self.dialler.has_fallen(name):
                self._by_hand.discard(name)
            if name in self._calling or name in self._hanging or name in self._by_hand or is_busy(name):
                continue
            if self._clock.monotonic() >= self._stuck_until.get(name, 0.0):
                self._hang_up_soon(name, "nothing is left to send")

    def recover(self) -> None:
        """At start: put down what an earlier run left raised. That run's call was not over, and may be made again."""
        for name in self._left:
            self._spawn(self._hang_up(name, "left raised by an earlier run", is_over=False))

    def _hang_up_soon(self, name: str, why: str) -> None:
        self._hanging.add(name)
        self._spawn(self._hang_up(name, why))

    async def _hang_up(self, name: str, why: str, *, is_over: bool = True) -> None:
        try:
            await self.dialler.hang_up(name, why)
        except GatewayError as exc:  # the line is down and that is not on disk: the next start puts it down again
            self._journal.record(Alarm(name, f"put down, but not noted: {exc}"))
        finally:
            self._hanging.discard(name)
            if self.dialler.is_raised(name):
                self._try_again_later(name)
            else:
                self._on_down(name)
            if is_over:
                self._is_over(name)
            self._on_change()

    def _try_again_later(self, name: str) -> None:
        self._stuck_until[name] = self._clock.monotonic() + STUCK_PAUSE
        timer = asyncio.get_running_loop().call_later(STUCK_PAUSE + 0.1, self._on_change)
        self._timers = {other for other in self._timers if not other.cancelled()} | {timer}

    # -- by hand ------------------------------------------------------------------------------------------------------

    async def raise_by_hand(self, name: str) -> None:
        """`link up`: it stays up until `link down`, or the end of the gateway. Raises NotNow with the reason."""
        if name in self._hanging:
            raise NotNow(f"{name} is being put down")
        self._calling.add(name)
        try:
            await self.dialler.raise_line(name)
            self._came_up(name)
        finally:
            self._calling.discard(name)
            self._on_change()
        if self.dialler.is_raised(name):
            self._by_hand.add(name)

    async def put_down_by_hand(self, name: str, leave: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """`link down`: `leave(name)` returns when no session uses it any more. Raises NotNow if we did not raise it."""
        if not self.dialler.is_raised(name) or name in self._calling:
            raise NotNow(f"{name} was not raised by the gateway")
        self._by_hand.discard(name)
        if name not in self._hanging:
            self._hanging.add(name)
            self._on_change()
            try:
                await leave(name)
            finally:
                await self._hang_up(name, "put down by an operator")

    # -- end ------------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """The gateway ends: calls are given up, and whatever is raised is put down."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        raised = self.dialler.raised
        with contextlib.suppress(GatewayError):  # a full disk: the next start puts it down again
            await self.dialler.stop()
        for name in raised:
            self._on_down(name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _decode(saved: bytes | None) -> dict[str, set[Key]]:
    if saved is not None:
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(saved, type=dict[str, set[Key]])
    return {}


def make_calls(
    links: Sequence[LinkSettings],
    zone: ZoneInfo,
    spool: Spool,
    monitor: Monitor,
    meter: Meter,
    *,
    clock: Clock,
    journal: Journal,
    clock_is_set: Callable[[], bool],
    on_change: Callable[[], None],
    on_over: Callable[[], None],
) -> Calls:
    """The calls of a gateway, over its spool, monitor and meter."""

    async def save(octets: bytes) -> None:
        await spool.save_state(dial.STATE, octets)

    dialler = Dialler(
        links,
        spool.load_state(dial.STATE),
        clock=clock,
        journal=journal,
        zone=zone,
        is_up=lambda name: any(link.name == name and link.up for link in monitor.states),
        save=save,
        clock_is_set=clock_is_set,
    )
    return Calls(
        dialler,
        spool.load_state(STATE),
        clock=clock,
        journal=journal,
        on_change=on_change,
        on_over=on_over,
        on_up=meter.raised,
        on_down=meter.put_down,
    )
