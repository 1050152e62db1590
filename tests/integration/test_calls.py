"""Dialled links under the dispatcher: when a line is called, how often, and that it never stays up for nothing.

Commands are real and make or remove a file; a kernel of the test's has the interface while the file is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import DialSettings, LinkSettings, ModeName, RelaySettings, Settings
from gateway.connectivity import dial
from gateway.connectivity.dial import Calls as DialledCalls
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Raise, Wait, Wish
from gateway.errors import NotNow
from gateway.events import Dialled, Event, Journal
from gateway.mail.envelope import Class, Envelope, Peer, Recipient
from gateway.mail.outcome import Interrupted
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.fakekernel import FakeKernel
from tests.support.house import DONE, OFFERS, TAKEN, FakeCourier, Script, take_all
from tests.support.situations import at, schedule

HOURLY = """\
timezone: Europe/Prague
windows:
  - {name: Hourly, open: 08:00-18:00, every: 1 h, for: 15 min, dial: yes}
"""
CLOSED = "timezone: Europe/Prague\n"


class Branch:
    """A dispatcher, Offline, over a modem."""

    def __init__(
        self,
        folder: Path,
        text: str = HOURLY,
        *,
        up: str = "",
        down: str = "",
        mode: ModeName = "auto",
        at_most: int | None = None,
        script: Script = take_all,
    ) -> None:
        self.line, self.called, self.put_down = folder / "line", folder / "called", folder / "put-down"
        self._script(folder / "up", up or f"touch {self.line}", self.called)
        self._script(folder / "down", down or f"rm -f {self.line}", self.put_down)
        settings = DialSettings((str(folder / "up"),), (str(folder / "down"),), within=2.0, at_most=at_most)
        self.settings = Settings(
            None,
            "gw.branch.example",
            folder / "spool",
            mode=mode,
            relays=(RelaySettings("isp", "192.0.2.1", 25, tls="none"),),
            links=(LinkSettings("modem", "ppp0", "dialled", dial=settings),),
        )
        self.schedule = schedule(text)
        self.clock = FakeClock(at("2026-11-24 12:00:01"))
        self.kernel = FakeKernel()
        self.courier = FakeCourier(script)
        self.events: list[Event] = []
        self.saved: bytes | None = None

    def _script(self, path: Path, text: str, note: Path) -> None:
        path.write_text(f"#!/bin/sh\necho x >> {shlex.quote(str(note))}\n{text}\n")
        path.chmod(0o755)

    async def __aenter__(self) -> Branch:
        journal = Journal()
        journal.subscribe(self.events.append)
        self.spool = await Spool.open(self.settings.spool, clock=self.clock, journal=journal, reserve=0)
        if self.saved is not None:
            await self.spool.save_state(dial.STATE, self.saved)
        self.monitor = Monitor(
            self.settings,
            clock=self.clock,
            journal=journal,
            on_change=self._link_changed,
            kernel=self.kernel,
            events=self.kernel.events,
        )
        self.dispatcher = Dispatcher(
            self.settings,
            self.schedule,
            self.spool,
            self.monitor,
            self.courier,
            clock=self.clock,
            journal=journal,
            linger=0.0,
        )
        await self.monitor.start()
        self._wiring = asyncio.create_task(self._wire())
        self._running = asyncio.create_task(self.dispatcher.run())
        return self

    def _link_changed(self) -> None:
        if hasattr(self, "dispatcher"):
            self.dispatcher.lines.changed()

    async def _wire(self) -> None:
        """The interface is there while the file is."""
        while True:
            there = "ppp0" in self.kernel.facts().interfaces
            if self.line.exists() != there:
                if there:
                    self.kernel.remove("ppp0")
                else:
                    self.kernel.add("ppp0", "10.5.0.2")
            await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self.dispatcher.stop(0.1)
        await self._running
        self._wiring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._wiring
        await self.monitor.stop()
        await self.spool.close()

    async def message(self, message_class: Class = "normal") -> str:
        draft = self.spool.draft([lambda item: b"Received: by gw\r\n"])
        await draft.write(b"Subject: one\r\n\r\nx\r\n")
        envelope = Envelope("anna@branch.example", (Recipient("ops@hq.example"),))
        entry = await self.spool.commit(draft, envelope, message_class=message_class, peer=Peer())
        return entry.id

    @property
    def calls(self) -> int:
        return len(self.called.read_text().splitlines()) if self.called.exists() else 0

    @property
    def told(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, Dialled)]

    @property
    def is_quiet(self) -> bool:
        """Nothing is under way: no call, no session, no line that is being put down."""
        phase = self.dispatcher.calls.states()["modem"].phase
        return phase == "down" and not self.dispatcher.sessions.is_busy("modem")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def later(self, seconds: float) -> None:
        """Time passes; what should follow has followed."""
        self.clock.advance(seconds)
        self.dispatcher.reconsider()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0.02)
            await self.until(lambda: self.is_quiet)


def run(branch: Branch, body: Callable[[Branch], Awaitable[None]]) -> None:
    async def main() -> None:
        async with branch:
            await body(branch)

    asyncio.run(main())


def test_a_window_calls_once_sends_and_hangs_up_and_calls_again_at_its_next_start(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        assert branch.told == ["dialling", "up", "hanging up", "down"]
        assert not branch.line.exists()
        item = await branch.message()  # while the opening lasts: the line was put down and stays down (rule 4)
        await branch.settled()
        verdict = branch.dispatcher.verdict(branch.spool.entries[item], None)
        assert isinstance(verdict, Wait)
        assert not isinstance(verdict, Raise)
        assert verdict.next_try.at == at("2026-11-24 13:00")
        assert branch.calls == 1
        await branch.later(3600)
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        assert branch.calls == 2

    run(Branch(tmp_path), body)


def test_mail_that_comes_while_the_line_is_up_goes_in_the_same_call(tmp_path: Path) -> None:
    first_taken, second_there = asyncio.Event(), asyncio.Event()

    async def script(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            first_taken.set()
            await second_there.wait()
            feed.settle(shipment.id, [TAKEN])
        return DONE

    async def body(branch: Branch) -> None:
        await branch.message()
        await first_taken.wait()
        await branch.message()
        second_there.set()
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        assert branch.calls == 1

    run(Branch(tmp_path, script=script), body)


@pytest.mark.parametrize(
    "text",
    [
        HOURLY.replace("dial: yes", "dial: no"),
        HOURLY.replace("dial: yes", "dial: yes, send: urgent"),
        HOURLY.replace("dial: yes", "dial: yes, only_if: more than 20 messages"),
        CLOSED,
    ],
)
def test_no_call_for_a_window_that_may_not_dial_or_has_nothing_it_may_send(tmp_path: Path, text: str) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.settled()
        assert branch.calls == 0

    run(Branch(tmp_path, text), body)


def test_an_empty_queue_costs_no_call(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.later(3600)
        assert branch.calls == 0

    run(Branch(tmp_path), body)


def test_online_never_dials(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.settled()
        assert branch.calls == 0

    run(Branch(tmp_path, mode="online"), body)


def test_a_call_that_fails_is_made_again_at_the_next_start_and_not_in_a_loop(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        item = await branch.message()
        await branch.until(lambda: branch.calls == 1)
        await branch.settled()
        await branch.later(60)
        assert branch.calls == 1
        verdict = branch.dispatcher.verdict(branch.spool.entries[item], None)
        assert isinstance(verdict, Wait)
        assert "stays down until the next" in verdict.why
        await branch.later(3600)
        assert branch.calls == 2

    run(Branch(tmp_path, up="echo NO CARRIER; exit 8"), body)


def test_a_session_that_breaks_puts_the_line_down(tmp_path: Path) -> None:
    async def broken(number: int, feed: Feed) -> SessionEnd:
        return SessionEnd("broken", "the relay hung up", reached=True)

    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: branch.courier.started == 1)
        await branch.until(lambda: branch.is_quiet)
        assert not branch.line.exists()
        await branch.later(60)
        assert (branch.calls, branch.courier.started) == (1, 1)

    run(Branch(tmp_path, script=broken), body)


def test_a_fault_of_ours_in_a_session_puts_the_line_down_too(tmp_path: Path) -> None:
    async def faulty(number: int, feed: Feed) -> SessionEnd:
        raise RuntimeError("a fault")

    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: branch.courier.started == 1)
        await branch.until(lambda: branch.is_quiet)
        assert not branch.line.exists()

    run(Branch(tmp_path, script=faulty), body)


def test_an_operator_may_call_at_any_time_and_once(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        item = await branch.message()
        assert branch.dispatcher.wishes.push([item], Wish("send")) == []
        going = branch.dispatcher.wishes.push([item], Wish("send", may_dial=True))
        assert isinstance(going[0][1], Raise)
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        assert branch.calls == 1

    run(Branch(tmp_path, CLOSED), body)


def test_an_operators_call_that_fails_is_not_repeated(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        item = await branch.message()
        branch.dispatcher.wishes.push([item], Wish("force", may_dial=True))
        await branch.until(lambda: branch.calls == 1)
        await branch.settled()
        await branch.later(60)
        assert branch.calls == 1

    run(Branch(tmp_path, CLOSED, up="exit 1"), body)


def test_no_more_calls_than_at_most_a_day(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        item = await branch.message()
        await branch.later(3600)
        assert branch.calls == 1
        verdict = branch.dispatcher.verdict(branch.spool.entries[item], None)
        assert isinstance(verdict, Wait)
        assert "as often as it may be today" in verdict.why

    run(Branch(tmp_path, at_most=1), body)


def test_what_a_crash_left_raised_is_put_down_at_start_before_it_is_called_again(tmp_path: Path) -> None:
    branch = Branch(tmp_path)
    branch.line.touch()
    branch.kernel.add("ppp0", "10.5.0.2")
    down = replace(branch.settings.links[0].dial or DialSettings((), ())).down
    branch.saved = dial.encode({"modem": DialledCalls("2026-11-24", 1, raised=True, down=down, interface="ppp0")})

    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)
        assert branch.told == ["hanging up", "down", "dialling", "up", "hanging up", "down"]

    run(branch, body)


def test_after_a_restart_in_the_same_opening_the_line_stays_down(tmp_path: Path) -> None:
    branch = Branch(tmp_path)

    async def first(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: not branch.spool.entries and branch.is_quiet)

    async def second(branch: Branch) -> None:
        await branch.message()
        await branch.settled()
        assert branch.calls == 1

    run(branch, first)
    run(branch, second)


def test_the_end_of_the_gateway_puts_the_line_down(tmp_path: Path) -> None:
    async def slow(number: int, feed: Feed) -> SessionEnd:
        await asyncio.sleep(60)
        return DONE

    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: branch.courier.started == 1)

    branch = Branch(tmp_path, script=slow)
    run(branch, body)
    assert not branch.line.exists()


def test_the_end_of_the_gateway_in_the_middle_of_a_call_leaves_nothing_raised(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: branch.calls == 1)

    branch = Branch(tmp_path, up="sleep 30")
    run(branch, body)
    assert branch.put_down.exists()


def test_what_an_operator_raises_stays_up_until_he_puts_it_down(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        calls, sessions = branch.dispatcher.calls, branch.dispatcher.sessions
        await calls.raise_by_hand("modem")
        branch.dispatcher.reconsider()
        await asyncio.sleep(0.1)
        assert branch.line.exists()
        await branch.message()  # Offline, a window is open, and the line is up
        await branch.until(lambda: not branch.spool.entries)
        assert branch.line.exists()
        await calls.put_down_by_hand("modem", lambda name: sessions.leave(name, 1.0))
        assert not branch.line.exists()
        with pytest.raises(NotNow, match="was not raised"):
            await calls.put_down_by_hand("modem", lambda name: sessions.leave(name, 1.0))

    run(Branch(tmp_path), body)


def test_a_line_that_will_not_go_down_is_not_asked_in_a_loop(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        branch.dispatcher.calls.dialler._waits = dial.DialWaits(down=2.0, gone=0.1, patience=0.2)
        await branch.message()
        await branch.until(lambda: not branch.spool.entries)
        await branch.until(lambda: branch.put_down.exists())
        await asyncio.sleep(0.5)
        assert len(branch.put_down.read_text().splitlines()) == 1

    run(Branch(tmp_path, down="exit 1"), body)


def test_an_operator_puts_a_line_down_in_the_middle_of_a_session_and_the_mail_stays(tmp_path: Path) -> None:
    async def stuck(number: int, feed: Feed) -> SessionEnd:
        shipment = await feed.take(OFFERS)
        assert shipment is not None
        try:
            await asyncio.sleep(60)
        finally:
            feed.settle(shipment.id, [Interrupted("the session was ended")])
        return DONE

    async def body(branch: Branch) -> None:
        sessions = branch.dispatcher.sessions
        item = await branch.message()
        await branch.until(lambda: sessions.sending)
        await branch.dispatcher.calls.put_down_by_hand("modem", lambda name: sessions.leave(name, 0.1))
        assert not branch.line.exists()
        await branch.settled()
        assert item in branch.spool.entries
        assert (branch.calls, branch.courier.started) == (1, 1)

    run(Branch(tmp_path, script=stuck), body)


def test_a_line_that_falls_by_itself_is_cleared_away_and_not_called_again_in_this_opening(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.message()
        await branch.until(lambda: branch.courier.started == 1)
        await branch.until(lambda: branch.is_quiet)
        assert branch.put_down.exists()
        assert branch.calls == 1

    branch = Branch(tmp_path)

    async def falls(number: int, feed: Feed) -> SessionEnd:
        shipment = await feed.take(OFFERS)
        assert shipment is not None
        branch.line.unlink()
        branch.kernel.remove("ppp0")
        feed.settle(shipment.id, [Interrupted("the line fell")])
        return SessionEnd("broken", "the line fell", reached=True)

    branch.courier = FakeCourier(falls)
    run(branch, body)


def test_what_an_operator_raised_and_fell_by_itself_is_cleared_away(tmp_path: Path) -> None:
    async def body(branch: Branch) -> None:
        await branch.dispatcher.calls.raise_by_hand("modem")
        branch.line.unlink()
        branch.kernel.remove("ppp0")
        await branch.until(lambda: branch.is_quiet)
        assert branch.put_down.exists()
        await branch.dispatcher.calls.raise_by_hand("modem")
        assert branch.line.exists()

    run(Branch(tmp_path), body)
