"""The whole gateway over a line that comes and goes, in namespaces: how soon it sees that, and what it keeps off the line."""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import namespaces
from tests.support.gateway import Gateway, eventually, letter
from tests.support.labs import ROOT
from tests.support.namespaces import Namespaces

RELAYS = "relays:\n  - {name: hq, host: 10.1.0.1, port: 2525, tls: none}\n"
FALLS, FALL_SECONDS = int(os.environ.get("TIDEGATE_FLAPS", "3")), float(os.environ.get("TIDEGATE_FLAP_SECONDS", "0.4"))
QUIET_SECONDS = float(os.environ.get("TIDEGATE_QUIET_SECONDS", "5"))


@pytest.fixture
def branch() -> Iterator[Namespaces]:
    with namespaces.made("tl") as both:
        yield both


class FarRelay:
    """The relay at the far end, and when it heard what."""

    def __init__(self, branch: Namespaces, folder: Path) -> None:
        self._heard = folder / "heard"
        words = ["ip", "netns", "exec", branch.far, sys.executable, "-m", "tests.support.farrelay", "10.1.0.1", "2525"]
        with self._heard.open("w") as out:
            self._process = subprocess.Popen(words, cwd=ROOT, stdout=out)
        eventually(lambda: self.heard("ready"), "the relay listens")

    def heard(self, verb: str) -> list[float]:
        return [row["at"] for row in self._rows() if row["verb"] == verb]

    def taken(self) -> list[str]:
        """The subjects of messages that came whole."""
        return [row["subject"] for row in self._rows() if row["verb"] == "TAKEN"]

    def _rows(self) -> list[dict[str, Any]]:
        lines = [line for line in self._heard.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def relay(branch: Namespaces, tmp_path: Path) -> Iterator[FarRelay]:
    made = FarRelay(branch, tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_mail_that_waited_leaves_within_half_a_second_of_the_line(
    branch: Namespaces, relay: FarRelay, tmp_path: Path
) -> None:
    links = "links:\n  - {name: dsl, interface: eth0, kind: permanent, probe: none}\n"

    def body() -> None:
        with Gateway(tmp_path / "gw", links + RELAYS) as gateway:
            eventually(lambda: gateway.logged("mode", "mode=offline"), "it starts Offline")
            item = gateway.hand_in(letter())
            branch.ip("link", "set", "eth0", "up")
            time.sleep(1.2)  # the kernel tells of carriers at most once a second; the line is there with its address
            before = time.time()
            branch.ip("addr", "add", "10.1.0.2/24", "dev", "eth0")
            eventually(lambda: gateway.logged(item, "delivered"), "it left")
            print(f"line up to MAIL: {relay.heard('MAIL')[0] - before:.3f} s")
            assert relay.heard("MAIL")[0] - before < 0.5

    branch.inside(body)


@pytest.mark.usefixtures("relay")
def test_mail_goes_on_over_a_line_that_falls_and_returns(branch: Namespaces, tmp_path: Path) -> None:
    links = "links:\n  - {name: dsl, interface: eth0, kind: permanent, probe: none}\n"
    branch.come_up()

    def body() -> None:
        with Gateway(tmp_path / "gw", links + RELAYS) as gateway:
            eventually(lambda: gateway.logged("mode", "mode=online"), "it starts Online")
            first = gateway.hand_in(letter())
            eventually(lambda: gateway.logged(first, "delivered"), "the first left")
            branch.plug(False)
            eventually(lambda: gateway.logged("mode", "mode=offline"), "Offline")
            second = gateway.hand_in(letter())
            assert not gateway.logged(second, "delivered")
            branch.plug(True)
            eventually(lambda: gateway.logged(second, "delivered"), "the second left")

    branch.inside(body)


def test_a_line_that_flaps_loses_and_doubles_no_mail_and_changes_the_mode_at_most_four_times(
    branch: Namespaces, relay: FarRelay, tmp_path: Path
) -> None:
    """Some falls here, and an operator sends the rest; `contrib/proofs/flap` runs the five minutes and waits for the calm."""
    links = "links:\n  - {name: dsl, interface: eth0, kind: permanent, probe: none}\n"
    branch.come_up()
    is_whole = FALL_SECONDS >= 3
    subjects: list[str] = []

    def hand_in_for(gateway: Gateway, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            subjects.append(f"No. {len(subjects)}")
            gateway.hand_in(letter(subjects[-1], "x" * 76 * 20 + "\r\n"))
            time.sleep(min(0.1, seconds / 4))

    def body() -> None:
        with Gateway(tmp_path / "gw", links + RELAYS) as gateway:
            eventually(lambda: gateway.logged("mode ", "mode=online"), "it starts Online")
            for _ in range(FALLS):
                for is_in in (False, True):
                    seen = len(gateway.logged("link "))
                    branch.plug(is_in)
                    hand_in_for(gateway, FALL_SECONDS)
                    eventually(lambda seen=seen: len(gateway.logged("link ")) > seen, "the monitor saw it")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if is_whole:
                eventually(lambda: gateway.logged("mode ")[-1].count("mode=online"), "Online when it is calm", 100)
            changes = len(gateway.logged("mode ")) - 1
            if not is_whole:
                assert gateway.run("mode", "online").returncode == 0
            eventually(lambda: not gateway.queue(), "all left")
            doubts, sessions = len(gateway.logged("in-doubt")), len(gateway.logged(" session "))
            seen = f"{FALLS} falls, {changes} changes of the mode"
            print(f"{seen}, {len(subjects)} messages, {sessions} sessions, {doubts} in doubt")
            assert changes <= 4
            assert Counter(relay.taken()) == Counter(subjects)

    branch.inside(body)


def test_no_packet_is_put_on_a_metered_line_while_offline(branch: Namespaces, relay: FarRelay, tmp_path: Path) -> None:
    """For some seconds here; TIDEGATE_QUIET_SECONDS=1800 runs the half hour."""
    links = "links:\n  - {name: lte, interface: eth0, kind: metered}\n"
    schedule = "timezone: UTC\nwindows:\n  - {name: Never, days: sun, at: '00:00', enabled: no}\n"
    branch.come_up()

    def body() -> int:
        with Gateway(tmp_path / "gw", links + RELAYS, schedule) as gateway:
            before = branch.packets_out()
            for number in range(50):
                gateway.hand_in(letter(f"No. {number}"))
            end = time.monotonic() + QUIET_SECONDS
            while time.monotonic() < end:
                with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="pc.branch.example", timeout=30) as client:
                    client.sendmail("anna@branch.example", ["ops@hq.example"], letter("another"))
                branch.ip("route", "add", "10.9.0.0/16", "via", "10.1.0.1")
                branch.ip("route", "del", "10.9.0.0/16")
                time.sleep(0.5)
            assert len(gateway.queue()) > 50
            assert gateway.run("status").returncode == 0
            return branch.packets_out() - before

    assert branch.inside(body) == 0
    assert not relay.heard("EHLO")


def test_an_idle_gateway_offline_hardly_wakes(branch: Namespaces, tmp_path: Path) -> None:
    """At most 4 wake-ups and 5 ms a minute are promised; here it is a part of a minute."""
    links = "links:\n  - {name: lte, interface: eth0, kind: metered}\n"
    branch.come_up()
    seconds = min(QUIET_SECONDS, 60.0)

    def body() -> tuple[int, float]:
        with Gateway(tmp_path / "gw", links + RELAYS, "timezone: UTC\n", plain=True) as gateway:
            gateway.hand_in(letter())
            # What start and message leave behind has run; the spool tidies its journal half a minute after the last mail.
            time.sleep(45.0 if seconds > 20 else 3.0)
            before, cpu = switches(gateway.pid), cpu_of(gateway.pid)
            time.sleep(seconds)
            return switches(gateway.pid) - before, cpu_of(gateway.pid) - cpu

    woken, used = branch.inside(body)
    print(f"{woken} wake-ups, {used * 1000:.1f} ms in {seconds:g} s")
    assert woken <= max(1, round(4 * seconds / 60))
    assert used <= 0.02


def switches(pid: int) -> int:
    """How often any of its threads gave up the processor and came back."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def cpu_of(pid: int) -> float:
    """Seconds of processor time, by the scheduler's own count."""
    return sum(int((task / "schedstat").read_text().split()[0]) / 1e9 for task in Path(f"/proc/{pid}/task").iterdir())
