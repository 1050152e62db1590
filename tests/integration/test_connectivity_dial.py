"""Dialled links by real scripts: that hang, fail, lie, or leave children; and what a crash of ours leaves raised."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.settings import DialSettings, LinkSettings
from gateway.connectivity.dial import Dialler, DialWaits, decode
from gateway.errors import NotNow, SpoolError, SpoolFull
from gateway.events import Alarm, Dialled, Event, Journal
from tests.support.clock import FakeClock

WAITS = DialWaits(down=2.0, gone=0.2, patience=0.3)


class Modem:
    """A line that is up while its file exists; scripts make and remove it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = folder / "line"
        self.calls = folder / "calls"
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.saved: bytes | None = None
        self.trouble: SpoolError | None = None
        self.clock_is_set = True

    def link(self, up: str, down: str = "", within: float = 3.0, at_most: int | None = None) -> LinkSettings:
        down = down or f"rm -f {self.line}"
        dial = DialSettings(tuple(shlex.split(up)), tuple(shlex.split(down)), within, at_most)
        return LinkSettings("modem", "ppp0", "dialled", dial=dial)

    def script(self, text: str) -> str:
        """The command line of a script that notes that it was called."""
        path = self.folder / f"script-{len(list(self.folder.iterdir()))}"
        path.write_text(f"#!/bin/sh\nLINE={self.line}\necho called >> {self.calls}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def dialler(self, *links: LinkSettings) -> Dialler:
        journal = Journal()
        journal.subscribe(self.events.append)
        return Dialler(
            links,
            self.saved,
            clock=self.clock,
            journal=journal,
            zone=ZoneInfo("Europe/Prague"),
            is_up=lambda name: name == "modem" and self.line.exists(),
            save=self.save,
            clock_is_set=lambda: self.clock_is_set,
            waits=WAITS,
        )

    async def save(self, octets: bytes) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.saved = octets

    @property
    def told(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, Dialled)]

    @property
    def alarms(self) -> list[str]:
        return [event.what for event in self.events if isinstance(event, Alarm)]

    @property
    def times_called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    async def until_written(self, name: str) -> None:
        path = self.folder / name
        while not (path.exists() and path.read_text().endswith("\n")):  # a script of the test writes it
            await asyncio.sleep(0.01)

    def pid(self, name: str) -> int:
        return int((self.folder / name).read_text())


@pytest.fixture
def modem(tmp_path: Path) -> Modem:
    return Modem(tmp_path)


def run(dialler: Dialler, body: Callable[[], Awaitable[None]]) -> None:
    """With a monitor that tells of the line as the kernel would."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(0.01)
            dialler.link_changed()

    async def main() -> None:
        telling = asyncio.create_task(tell())
        try:
            async with asyncio.timeout(20):
                await body()
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling

    asyncio.run(main())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def is_gone(pid: int) -> None:
    """What was killed ends when the kernel comes round to it; for ever it may not take."""
    async with asyncio.timeout(10):
        while is_alive(pid):  # the kernel does not tell of grandchildren that end
            await asyncio.sleep(0.005)


def test_a_command_that_raises_the_line_and_one_that_puts_it_down(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("touch $LINE")))

    async def body() -> None:
        await dialler.raise_line("modem")
        assert dialler.is_raised("modem")
        assert modem.line.exists()
        await dialler.hang_up("modem", "the session is done")
        assert not dialler.is_raised("modem")
        assert not modem.line.exists()
        await dialler.hang_up("modem", "again")

    run(dialler, body)
    assert modem.told == ["dialling", "up", "hanging up", "down"]
    assert modem.alarms == []


def test_a_line_that_is_up_anyway_is_not_called_and_not_put_down(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("true")))
    modem.line.touch()

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.hang_up("modem", "the session is done")

    run(dialler, body)
    assert modem.times_called == 0
    assert modem.line.exists()


def test_a_command_may_end_before_the_line_is_there(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("(sleep 0.2; touch $LINE) &")))

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.hang_up("modem", "done")

    run(dialler, body)
    assert modem.told == ["dialling", "up", "hanging up", "down"]


def test_a_command_that_goes_on_while_the_line_is_up_is_ended_with_its_children_by_the_hang_up(modem: Modem) -> None:
    text = f"sleep 100 &\necho $! > {modem.folder}/child\necho $$ > {modem.folder}/parent\ntouch $LINE\nwait"
    dialler = modem.dialler(modem.link(modem.script(text)))

    async def body() -> None:
        await dialler.raise_line("modem")
        assert is_alive(modem.pid("parent"))
        await dialler.hang_up("modem", "done")
        await is_gone(modem.pid("parent"))
        await is_gone(modem.pid("child"))

    run(dialler, body)


def test_a_command_that_fails_says_why_and_the_line_is_put_down(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("echo dialling; echo NO CARRIER >&2; exit 3")))

    async def body() -> None:
        with pytest.raises(NotNow, match="ended with exit code 3: NO CARRIER"):
            await dialler.raise_line("modem")
        assert not dialler.is_raised("modem")

    run(dialler, body)
    assert modem.told == ["dialling", "failed", "down"]


def test_a_command_that_lies_is_found_out_by_the_line(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("exit 0"), within=0.3))

    async def body() -> None:
        with pytest.raises(NotNow, match=r"modem did not come up within 0.3 s$"):
            await dialler.raise_line("modem")

    run(dialler, body)

    pessimist = modem.dialler(modem.link(modem.script("touch $LINE; exit 1")))

    async def though_up() -> None:
        await pessimist.raise_line("modem")  # it said that it failed, and the line is there
        await pessimist.hang_up("modem", "done")

    run(pessimist, though_up)


def test_a_command_that_hangs_is_ended_with_children_that_do_not_listen(modem: Modem) -> None:
    text = (
        f"trap '' TERM\n(trap '' TERM; sleep 100) &\necho $! > {modem.folder}/child\n"
        f"echo $$ > {modem.folder}/parent\nsleep 100"
    )
    dialler = modem.dialler(modem.link(modem.script(text), within=0.5))

    async def body() -> None:
        with pytest.raises(NotNow, match="still running"):
            await dialler.raise_line("modem")
        await is_gone(modem.pid("parent"))
        await is_gone(modem.pid("child"))

    run(dialler, body)


def test_a_command_that_leaves_children_and_fails_leaves_none(modem: Modem) -> None:
    text = f"sleep 100 &\necho $! > {modem.folder}/child\nexit 1"
    dialler = modem.dialler(modem.link(modem.script(text)))

    async def body() -> None:
        with pytest.raises(NotNow):
            await dialler.raise_line("modem")
        await is_gone(modem.pid("child"))

    run(dialler, body)


@pytest.mark.parametrize("up", ["/no/such/program", "/etc/passwd", "/"])
def test_a_command_that_cannot_be_run_is_told(modem: Modem, up: str) -> None:
    dialler = modem.dialler(modem.link(up))

    async def body() -> None:
        with pytest.raises(NotNow, match="cannot be run"):
            await dialler.raise_line("modem")

    run(dialler, body)


def test_there_is_no_shell_unless_the_user_wrote_one(modem: Modem) -> None:
    plain = modem.dialler(modem.link(f"touch {modem.folder}/second ; touch {modem.line}"))

    async def body() -> None:
        await plain.raise_line("modem")
        await plain.hang_up("modem", "done")

    run(plain, body)
    assert Path(f"{modem.folder}/second").exists()  # an argument of the one `touch`, as was the semicolon
    (modem.folder / "second").unlink()

    wrote = modem.dialler(modem.link(f"sh -c 'touch {modem.folder}/$TIDEGATE_LINK; touch {modem.line}'"))

    async def with_shell() -> None:
        await wrote.raise_line("modem")
        await wrote.hang_up("modem", "done")

    run(wrote, with_shell)
    assert (modem.folder / "modem").exists()


def test_a_command_that_hangs_while_putting_down_is_killed_and_an_alarm_raised_if_the_line_stays(modem: Modem) -> None:
    down = modem.script(f"echo $$ > {modem.folder}/down\nsleep 100")
    dialler = modem.dialler(modem.link(modem.script("touch $LINE"), down))

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.hang_up("modem", "done")
        assert not is_alive(modem.pid("down"))
        assert dialler.is_raised("modem")  # it costs money still, so it is not forgotten
        modem.line.unlink()
        await dialler.hang_up("modem", "again")
        assert not dialler.is_raised("modem")

    run(dialler, body)
    assert len(modem.alarms) == 1
    assert "is still up after hanging up" in modem.alarms[0]


def test_what_a_crash_left_raised_is_put_down_at_the_next_start_by_the_command_of_that_time(modem: Modem) -> None:
    raised = modem.dialler(modem.link(modem.script("touch $LINE")))

    async def body() -> None:
        await raised.raise_line("modem")
        await raised._commands["modem"].end(0.1)  # and then the power fails

    run(raised, body)
    assert modem.saved is not None
    assert decode(modem.saved)["modem"].raised
    started = modem.dialler()  # the link is not configured any more

    async def at_start() -> None:
        await started.recover()
        assert not modem.line.exists()

    run(started, at_start)
    assert not decode(modem.saved)["modem"].raised


def test_word_that_it_may_be_raised_is_on_disk_before_the_command_runs(modem: Modem) -> None:
    link = modem.link(modem.script("touch $LINE"))
    dialler = modem.dialler(link)
    found: list[bool] = []

    async def save(octets: bytes) -> None:
        found.append(modem.line.exists())
        modem.saved = octets

    dialler._save = save  # the spool of this test looks at the line

    async def body() -> None:
        await dialler.raise_line("modem")
        assert found == [False]
        await dialler.hang_up("modem", "done")

    run(dialler, body)


def test_a_full_disk_does_not_keep_a_line_from_being_called_and_a_broken_one_costs_no_call(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("touch $LINE"), at_most=2))

    async def body() -> None:
        modem.trouble = SpoolError("read only")
        with pytest.raises(SpoolError):
            await dialler.raise_line("modem")
        assert (modem.times_called, dialler.calls_left("modem"), dialler.raised) == (0, 2, ())
        assert dialler.take_dials("modem") == 0
        modem.trouble = SpoolFull("full")
        await dialler.raise_line("modem")
        assert (modem.times_called, dialler.calls_left("modem")) == (1, 1)
        assert "a crash would leave it up" in modem.alarms[0]
        modem.trouble = None
        await dialler.hang_up("modem", "done")
        assert not modem.line.exists()

    run(dialler, body)


def test_calls_are_counted_by_the_day_of_the_zone_over_restarts(modem: Modem) -> None:
    link = modem.link(modem.script("exit 1"), at_most=2)

    async def call(dialler: Dialler) -> None:
        with pytest.raises(NotNow):
            await dialler.raise_line("modem")

    for _ in range(4):
        dialler = modem.dialler(link)
        run(dialler, lambda d=dialler: call(d))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert modem.times_called == 2
    modem.clock.step(-20 * 365 * 86400.0)
    modem.clock_is_set = False  # a box that woke in the past has no fresh day
    dialler = modem.dialler(link)
    assert dialler.calls_left("modem") == 0
    modem.clock.step(20 * 365 * 86400.0)
    modem.clock_is_set = True
    assert dialler.calls_left("modem") == 0
    modem.clock.advance(86400.0)
    assert dialler.calls_left("modem") == 2


def test_a_call_that_is_given_up_is_put_down(modem: Modem) -> None:
    text = f"echo $$ > {modem.folder}/parent\nsleep 100"
    dialler = modem.dialler(modem.link(modem.script(text), within=60))

    async def body() -> None:
        calling = asyncio.create_task(dialler.raise_line("modem"))
        await modem.until_written("parent")
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await is_gone(modem.pid("parent"))
        assert not dialler.is_raised("modem")

    run(dialler, body)


def test_stopping_puts_down_what_is_raised(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("touch $LINE")))

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.stop()
        assert not modem.line.exists()

    run(dialler, body)


def test_a_line_that_fell_by_itself_is_put_down_before_it_is_called_again(modem: Modem) -> None:
    text = f"echo $$ >> {modem.folder}/parents\ntouch $LINE\nsleep 100"
    dialler = modem.dialler(modem.link(modem.script(text)))

    async def body() -> None:
        await dialler.raise_line("modem")
        modem.line.unlink()
        await dialler.raise_line("modem")
        first, second = (int(word) for word in (modem.folder / "parents").read_text().split())
        assert not is_alive(first)
        assert is_alive(second)
        await dialler.hang_up("modem", "done")
        assert not is_alive(second)

    run(dialler, body)


def test_a_command_that_talks_without_end_is_heard_and_costs_nothing(modem: Modem) -> None:
    text = "i=0; while [ $i -lt 20000 ]; do echo line $i of a long story; i=$((i+1)); done; touch $LINE; exit 0"
    dialler = modem.dialler(modem.link(modem.script(text), within=15))

    async def body() -> None:
        await dialler.raise_line("modem")
        command = dialler._commands["modem"]
        await command.wait()
        assert command.last_words == "line 19999 of a long story"
        assert len(command._words) <= 500
        await dialler.hang_up("modem", "done")

    run(dialler, body)


def test_a_script_is_not_handed_what_is_between_us_and_systemd(modem: Modem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    dialler = modem.dialler(modem.link(modem.script(f"env > {modem.folder}/env; touch $LINE")))

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.hang_up("modem", "done")

    run(dialler, body)
    environ = (modem.folder / "env").read_text()
    assert "/run/" not in environ
    assert "TIDEGATE_LINK=modem\n" in environ
    assert "TIDEGATE_INTERFACE=ppp0\n" in environ


def test_no_zombie_is_left(modem: Modem) -> None:
    dialler = modem.dialler(modem.link(modem.script("touch $LINE")))

    async def body() -> None:
        await dialler.raise_line("modem")
        await dialler.hang_up("modem", "done")

    run(dialler, body)
    children = subprocess.run(
        ["ps", "-o", "stat=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    assert "Z" not in children.stdout
