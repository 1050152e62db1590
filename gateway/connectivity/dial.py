"""Raising and putting down dialled links by the user's commands (DESIGN section 6).

Owns the calls: who may be called how often, what was raised by us and must be put down again, also after a crash. When to call
is dispatch's decision; whether the line is there is the monitor's. Money depends on it: a line is never left up for want of an
exception handler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from gateway.clock import Clock
from gateway.config.settings import DialSettings, LinkSettings
from gateway.connectivity.command import CannotRun, Command
from gateway.connectivity.periods import period_of, turn
from gateway.errors import NotNow, SpoolError, SpoolFull
from gateway.events import Alarm, Dialled, Journal

STATE = "dial"
"""The name under which the calls are kept in the spool's state."""


class Calls(msgspec.Struct, omit_defaults=True):
    """What is kept of one link over restarts. `raised`: our command ran and the line has not been put down since; `down` and
    `interface` are those of that time, in case the configuration changes before it is."""

    day: str = ""
    count: int = 0
    raised: bool = False
    down: tuple[str, ...] = ()
    interface: str = ""


def decode(octets: bytes | None) -> dict[str, Calls]:
    """By link name; empty where nothing is saved or it cannot be read."""
    if octets is not None:
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(octets, type=dict[str, Calls])
    return {}


def encode(calls: dict[str, Calls]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(calls)) + b"\n"


@dataclass(frozen=True, slots=True)
class DialWaits:
    """Seconds. `down`: how long putting a line down may take; `gone`: how long its interface may take to vanish after that;
    `patience`: between asking a command to end and killing it."""

    down: float = 30.0
    gone: float = 10.0
    patience: float = 5.0


class Dialler:
    """All dialled links. `is_up(link)` asks the monitor; call `link_changed` whenever its answer may have changed.

    `save(octets)` writes the state durably (SpoolError): it is awaited before a line is raised, so that a crash at any moment
    leaves word that there may be something to hang up. `clock_is_set` says whether days can be told apart.
    """

    def __init__(
        self,
        links: Sequence[LinkSettings],
        saved: bytes | None,
        *,
        clock: Clock,
        journal: Journal,
        zone: ZoneInfo,
        is_up: Callable[[str], bool],
        save: Callable[[bytes], Awaitable[None]],
        clock_is_set: Callable[[], bool] = lambda: True,
        waits: DialWaits | None = None,
    ) -> None:
        self._clock, self._journal = clock, journal
        self._is_up, self._save, self._clock_is_set = is_up, save, clock_is_set
        self._waits = waits if waits is not None else DialWaits()
        self._calls = decode(saved)
        self._commands: dict[str, Command] = {}
        self._dials: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._change = asyncio.Event()
        self._links: dict[str, LinkSettings] = {}
        self.replace(links, zone)

    def replace(self, links: Sequence[LinkSettings], zone: ZoneInfo) -> None:
        """A reload. A line that is raised is put down by the command it was raised with."""
        self._links = {link.name: link for link in links if link.dial is not None}
        self._zone = zone

    def link_changed(self) -> None:
        """The monitor's word that a link came up or went down."""
        self._change.set()
        self._change = asyncio.Event()

    def is_raised(self, name: str) -> bool:
        """Did we raise it, and is it not put down yet?"""
        return name in self._calls and self._calls[name].raised

    @property
    def names(self) -> tuple[str, ...]:
        """The links that can be called."""
        return tuple(self._links)

    @property
    def raised(self) -> tuple[str, ...]:
        """What we raised and have not put down, also of links that a reload took away."""
        return tuple(name for name, calls in self._calls.items() if calls.raised)

    def has_fallen(self, name: str) -> bool:
        """We raised it, and the line is gone without our having put it down."""
        return self.is_raised(name) and not self._is_up(name)

    def calls_left(self, name: str) -> int | None:
        """How often it may be called today; None where there is no limit."""
        dial = self._dial(name)
        if dial.at_most is None:
            return None
        self._turn_day(name)
        return max(0, dial.at_most - self._of(name).count)

    def take_dials(self, name: str) -> int:
        """Calls made since this was asked last, also those that did not come up."""
        return self._dials.pop(name, 0)

    async def recover(self) -> None:
        """At start: put down what an earlier run of ours left raised."""
        for name in [name for name, calls in self._calls.items() if calls.raised]:
            await self.hang_up(name, "left raised by an earlier run")

    async def raise_line(self, name: str) -> None:
        """Call. When this returns, the line is up. Raises NotNow with the reason; then the line was put down again.

        A command that goes on running while the line is up (`pppd nodetach`) is left to run until `hang_up`.
        """
        async with self._lock(name):
            if self._is_up(name):
                return
            dial = self._dial(name)
            if self.calls_left(name) == 0:
                raise NotNow(f"{name} was called {self._of(name).count} times today (at_most: {dial.at_most} per day)")
            calls = self._of(name)
            if calls.raised:  # it fell by itself; whatever is left of that call must not meet the next
                await self._put_down(name)
            self._turn_day(name)
            calls.count += 1
            self._dials[name] += 1
            calls.raised, calls.down, calls.interface = True, dial.down, self._links[name].interface
            await self._note_call(name, calls)
            self._journal.record(Dialled(name, "dialling"))
            try:
                await self._call(name, dial)
            except BaseException as exc:
                why = str(exc) if isinstance(exc, NotNow) else "given up"
                self._journal.record(Dialled(name, "failed", why))
                await asyncio.shield(self._put_down(name))
                raise
            self._journal.record(Dialled(name, "up"))

    async def _note_call(self, name: str, calls: Calls) -> None:
        """On disk, before the command runs. A disk that is merely full still lets mail go, so the line is called all the same
        (P10): else the mail that fills it would never leave. Raises SpoolError; then there was no call."""
        try:
            await self._save(encode(self._calls))
        except SpoolFull as exc:
            self._journal.record(Alarm(name, f"is called, and a crash would leave it up: that cannot be noted ({exc})"))
        except SpoolError:
            calls.raised, calls.count = False, calls.count - 1
            self._dials[name] -= 1
            raise

    async def hang_up(self, name: str, why: str) -> None:
        """Put down what we raised; nothing if we did not. Never raises for what a command does."""
        async with self._lock(name):
            if not self.is_raised(name):
                return
            self._journal.record(Dialled(name, "hanging up", why))
            await asyncio.shield(self._put_down(name))

    async def stop(self) -> None:
        """The gateway ends: whatever is raised is put down."""
        for name in [name for name, calls in self._calls.items() if calls.raised]:
            await self.hang_up(name, "the gateway stops")

    # -- calling ----------------------------------------------------------------------------------------------------

    async def _call(self, name: str, dial: DialSettings) -> None:
        try:
            command = Command.start(dial.up, self._environ(name))
        except CannotRun as exc:
            raise NotNow(str(exc)) from exc
        self._commands[name] = command
        try:
            async with asyncio.timeout(dial.within):
                await self._until_up(name, command, dial)
        except TimeoutError:
            state = "" if command.exit_code is not None else f"; {dial.up[0]} is still running"
            raise NotNow(f"{name} did not come up within {dial.within:g} s{state}") from None

    async def _until_up(self, name: str, command: Command, dial: DialSettings) -> None:
        """What counts is the line, not what the command says: it may end before the line is there, or never."""
        ended: asyncio.Task[int] | None = asyncio.create_task(command.wait())
        up = asyncio.create_task(self._until(lambda: self._is_up(name)))
        try:
            while not up.done():
                await asyncio.wait({up, ended} if ended is not None else {up}, return_when=asyncio.FIRST_COMPLETED)
                if ended is not None and ended.done() and not up.done():
                    code = ended.result()
                    if code != 0 and not self._is_up(name):
                        said = f": {command.last_words}" if command.last_words else ""
                        raise NotNow(f"{dial.up[0]} ended with exit code {code}{said}")
                    ended = None
        finally:
            for task in (up, ended):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(task for task in (up, ended) if task is not None), return_exceptions=True)

    # -- putting down -------------------------------------------------------------------------------------------------

    async def _put_down(self, name: str) -> None:
        """Run the command, end what still runs of the call, see that the line is gone, and only then forget that it was
        raised: a crash in between leaves word for the next start."""
        calls = self._of(name)
        trouble = await self._run_down(name, calls)
        if (command := self._commands.pop(name, None)) is not None:
            await command.end(self._waits.patience)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._waits.gone):
                await self._until(lambda: not self._is_up(name))
        if self._is_up(name):
            self._journal.record(Alarm(name, f"is still up after hanging up{f' ({trouble})' if trouble else ''}"))
            return  # still raised: the next hang-up, or the next start, tries again
        self._journal.record(Dialled(name, "down", trouble))
        calls.raised = False
        await self._save(encode(self._calls))

    async def _run_down(self, name: str, calls: Calls) -> str | None:
        """None if the command did its work, else what was wrong with it."""
        try:
            command = Command.start(calls.down, self._environ(name))
        except (CannotRun, IndexError) as exc:
            return str(exc)
        try:
            async with asyncio.timeout(self._waits.down):
                code = await command.wait()
        except TimeoutError:
            await command.end(self._waits.patience)
            return f"{calls.down[0]} did not end within {self._waits.down:g} s and was killed"
        except BaseException:
            await command.end(self._waits.patience)
            raise
        command.let_go()
        return None if code == 0 else f"{calls.down[0]} ended with exit code {code}: {command.last_words}"

    # -- parts --------------------------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._change.wait()

    def _turn_day(self, name: str) -> None:
        calls = self._of(name)
        today = period_of(self._clock.now(), "day", self._zone)
        calls.day, is_new = turn(calls.day, today, self._clock_is_set())
        if is_new:
            calls.count = 0

    def _of(self, name: str) -> Calls:
        return self._calls.setdefault(name, Calls())

    def _dial(self, name: str) -> DialSettings:
        link = self._links.get(name)
        if link is None or link.dial is None:
            raise NotNow(f"{name} is no link that can be called")
        return link.dial

    def _environ(self, name: str) -> dict[str, str]:
        """What a script may want to know."""
        return {"TIDEGATE_LINK": name, "TIDEGATE_INTERFACE": self._of(name).interface}

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
