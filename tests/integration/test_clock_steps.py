"""Steps of the wall clock under a running gateway: windows, retries, ages and budgets survive them (promise P7).

What is proven how: the gateway is a real process whose wall clock libfaketime sets, and the kernel's word is real (see
`steppedclock`). A step of the machine's own clock by hours is not made: it would be every other program's, too.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread
from tests.support.steppedclock import SteppedClock

DAY = 86400.0
NIGHT = "timezone: UTC\nwindows:\n  - {name: Night, open: '02:00-03:00', budget: 1 MB per day}\n"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_windows_retries_ages_and_budgets_survive_steps_forward_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(tmp_path, NOON)
    for name, value in clock.environ.items():
        monkeypatch.setenv(name, value)
    script = {".": [None, "451 4.3.0 later", "451 4.3.0 later"]}
    with RelayThread(script) as relay, Gateway(tmp_path / "gw", "mode: offline\n" + relay.settings, NIGHT) as gateway:

        def step(to: float, way: str) -> None:
            """The clock is set, and the gateway has noticed within a second."""
            before, seen = time.monotonic(), len(gateway.logged("remark about=clock", f"was set {way} by"))
            clock.set_to(to)
            eventually(lambda: len(gateway.logged("remark about=clock", f"was set {way} by")) > seen, "noticed", 5)
            print(f"noticed after {time.monotonic() - before:.3f} s")
            assert time.monotonic() - before < 1.0

        def row(item: str) -> dict[str, Any] | None:
            return next((row for row in gateway.queue() if row["id"] == item), None)

        def used() -> int:
            return int(gateway.json("status")[0]["budgets"][0]["used"])

        first = gateway.hand_in(letter())
        waiting = row(first)
        assert waiting is not None
        assert instant(waiting["next_try"]["at"]) == NOON + 14 * 3600

        # Windows: fourteen hours forward, into the night.
        step(NOON + 14 * 3600 + 600, "forward")
        eventually(lambda: gateway.logged(first, "delivered"), "its window is open")
        budget = used()
        assert budget > 0

        # Retries: deferred for half an hour, then the clock goes back a hundred days, into a night of the summer.
        second = gateway.hand_in(letter("second"))
        eventually(lambda: gateway.logged(second, "deferred"), "the relay has no time")
        step(clock.now() - 100 * DAY, "back")
        eventually(
            lambda: instant((row(second) or waiting)["next_try"]["at"]) <= clock.now() + 1800 + 5, "Next Try moved"
        )

        # Budgets: a clock that is put back takes its count along; the next day begins a new one.
        assert used() > budget
        step(clock.now() + DAY, "forward")
        eventually(lambda: len(gateway.logged(second, "deferred")) == 2, "tried again: its time has come")
        assert 0 < used() < 2 * budget

        # Ages: ten weeks beyond its own time nothing has expired, and it leaves at the next opportunity.
        step(NOON + 70 * DAY + 14 * 3600 + 600, "forward")
        eventually(lambda: gateway.logged(second, "delivered"), "it left")
        assert gateway.queue() == []
        status = gateway.json("status")[0]
        assert clock.now() - instant(status["mode"]["since"]) < 60
        assert clock.now() - instant(status["links"][0]["since"]) < 60
        assert not gateway.logged(" failed ")
        assert not gateway.logged("service=report")
    assert [message.octets.count(b"Subject: second") for message in relay.messages].count(1) == 1
