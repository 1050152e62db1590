"""The ledger under the whole gateway, in namespaces: its counts against the interface's own, and what a budget stops."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import labs, namespaces
from tests.support.gateway import Gateway, eventually, letter
from tests.support.labs import ROOT
from tests.support.linklab import LinkLab
from tests.support.namespaces import Namespaces, inside

RELAYS = "relays:\n  - {name: hq, host: 10.1.0.1, port: 2525, tls: none}\n"
ALWAYS = "timezone: UTC\nwindows:\n  - {name: Always, open: '00:00-24:00', budget: 50 MB per day}\n"
ETHERNET = 14


@pytest.fixture
def branch() -> Iterator[Namespaces]:
    with namespaces.made("tb") as both:
        both.come_up()
        yield both


@contextlib.contextmanager
def listening(namespace: str, address: str, heard: Path) -> Iterator[None]:
    """The relay, in a namespace."""
    words = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.support.farrelay", address, "2525"]
    with heard.open("w") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out)
    try:
        eventually(lambda: "ready" in heard.read_text(), "the relay listens")
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def relay(branch: Namespaces, tmp_path: Path) -> Iterator[None]:
    with listening(branch.far, "10.1.0.1", tmp_path / "heard"):
        yield


def one_packet_a_segment(branch: Namespaces) -> None:
    """Else the counters of a virtual cable count what a real one would carry in many packets as one."""
    try:
        branch.ip("link", "set", "eth0", "gso_max_segs", "1")
        branch.ip("link", "set", "far0", "gso_max_segs", "1", far=True)
    except subprocess.CalledProcessError:
        pytest.skip("this iproute2 cannot set gso_max_segs")


def on_the_line(branch: Namespaces) -> int:
    """Octets of IP that eth0 has carried."""
    words = ["ip", "-n", branch.name, "-s", "-j", "link", "show", "eth0"]
    shown = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)[0]["stats64"]
    return sum(int(shown[way]["bytes"]) - ETHERNET * int(shown[way]["packets"]) for way in ("rx", "tx"))


def lte(more: str) -> str:
    return f"links:\n  - name: lte\n    interface: eth0\n    kind: metered\n{more}"


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(("count", "size"), [(60, 500), (10, 60_000), (2, 1_000_000)])
def test_the_ledger_is_within_three_percent_of_the_interface(
    branch: Namespaces, tmp_path: Path, count: int, size: int
) -> None:
    one_packet_a_segment(branch)
    line = "x" * 76 + "\r\n"

    def body() -> None:
        budget = "    budget: 200 MB per month\n    tariff: {per_mb: 2}\n"
        with Gateway(tmp_path / "gw", "mode: stopped\n" + lte(budget) + RELAYS, ALWAYS) as gateway:
            for number in range(count):
                gateway.hand_in(letter(f"No. {number}", line * (size // 78)))
            planned = [budget["planned"] for budget in gateway.json("status")[0]["budgets"]]
            before = on_the_line(branch)
            assert gateway.run("mode", "offline").returncode == 0
            eventually(lambda: not gateway.queue(), "all left")
            eventually(lambda: gateway.logged(" session "), "the session is over")
            carried = on_the_line(branch) - before
            status = gateway.json("status")[0]
            of_link, of_window = status["budgets"]
            print(
                f"{count} x {size}: ledger {of_link['used']}, interface {carried}: {of_link['used'] / carried - 1:+.2%}"
            )
            assert abs(of_link["used"] - carried) < 0.03 * carried
            assert of_window["used"] == of_link["used"]
            assert all(0.8 * carried < octets < 1.25 * carried for octets in planned)
            money = status["links"][0]["money_month"]
            assert money == pytest.approx(of_link["used"] / 1e6 * 2, abs=1e-4)
            assert "money=" in gateway.logged(" session ")[0]

    branch.inside(body)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("line", "count", "size"),
    [("rate=1M rtt=60ms loss=2% queue=64k", 12, 20_000), ("rate=256k rtt=60ms queue=32k", 20, 500)],
)
def test_the_ledger_is_within_three_percent_of_what_an_emulated_line_carried(
    tmp_path: Path, line: str, count: int, size: int
) -> None:
    """With what was lost on the way and sent again: the branch pays for what it put on the line and for what came in."""
    lab = LinkLab(labs.require("linklab", "/dev/net/tun"), f"l{os.getpid() % 10000}")
    lab.ask("up", "--preset", "plain", *line.split())
    try:
        with listening(f"hq-{lab.name}", "10.77.0.2", tmp_path / "heard"):

            def body() -> None:
                link = "links:\n  - {name: lte, interface: link0, kind: metered, budget: 200 MB per month}\n"
                relays = RELAYS.replace("10.1.0.1", "10.77.0.2")
                with Gateway(tmp_path / "gw", "mode: stopped\n" + link + relays, ALWAYS) as gateway:
                    for number in range(count):
                        gateway.hand_in(letter(f"No. {number}", ("x" * 76 + "\r\n") * (size // 78)))
                    assert gateway.run("mode", "offline").returncode == 0
                    eventually(lambda: not gateway.queue(), "all left")
                    eventually(lambda: gateway.logged(" session "), "the session is over")
                    stats = lab.stats()
                    carried = stats["up"]["offered"]["bytes"] + stats["down"]["delivered"]["bytes"]
                    used = gateway.json("status")[0]["budgets"][0]["used"]
                    again = stats["up"]["tcp"]["payload_bytes_again"]
                    print(f"{line}: ledger {used}, line {carried} ({again} again): {used / carried - 1:+.2%}")
                    assert abs(used - carried) < 0.03 * carried

            inside(f"branch-{lab.name}", body)
    finally:
        lab.ask("down", "--kill")


@pytest.mark.usefixtures("relay")
def test_probes_are_in_the_ledger_of_a_link_with_a_budget(branch: Namespaces, tmp_path: Path) -> None:
    link = "links:\n  - {name: dsl, interface: eth0, kind: permanent, probe: 1 s, budget: 200 MB per month}\n"

    def body() -> None:
        before = on_the_line(branch)
        with Gateway(tmp_path / "gw", link + RELAYS) as gateway:

            def seen() -> tuple[int, int] | None:
                """What the ledger holds and the line has carried; None where a probe was under way between the looks, or was
                over and not booked yet."""
                carried = on_the_line(branch)
                used = gateway.json("status")[0]["budgets"][0]["used"]
                if used <= 3000 or gateway.json("status")[0]["budgets"][0]["used"] != used:
                    return None
                return (used, carried - before) if on_the_line(branch) == carried else None

            used, carried = eventually(seen, "some probes, and none of them at this moment")
            gateway.stop()
            assert json.loads((gateway.spool / "state" / "ledger").read_text())["link dsl"]["month"]["octets"] >= used
        print(f"probes: ledger {used}, interface {carried}: {used / carried - 1:+.2%}")
        # Six probes: one that was not booked would be a sixth. The address questions of the cable (4 %) are carried, too, and
        # how many acknowledgements a goodbye takes is the kernel's to choose, 52 octets each.
        assert abs(used - carried) < carried / 8

    branch.inside(body)


@pytest.mark.usefixtures("relay")
def test_a_budget_stops_the_queue_in_the_middle_and_holds_over_a_restart(branch: Namespaces, tmp_path: Path) -> None:
    classes = "classes:\n  - {class: urgent, from: alarm@branch.example}\n"

    def body() -> None:
        budget = "    budget: 100 kB per month\n"
        with Gateway(tmp_path / "gw", "mode: stopped\n" + classes + lte(budget) + RELAYS, ALWAYS) as gateway:
            for number in range(30):
                gateway.hand_in(letter(f"No. {number}", "x" * 76 * 50 + "\r\n"))
            gateway.run("mode", "offline")
            eventually(lambda: gateway.logged(" session "), "the session is over")
            left = len(gateway.queue())
            assert 0 < left < 30
            row = gateway.queue()[0]
            assert "budget of lte" in row["status"]
            checks = gateway.json("explain", row["id"])[0]["checks"]
            assert next(check for check in checks if check["name"] == "budget" and check["state"] == "wait")
            used = gateway.json("status")[0]["budgets"][0]["used"]
            assert 80_000 < used < 103_000
            gateway.stop()
            gateway.start()
            assert gateway.json("status")[0]["budgets"][0]["used"] == used
            assert "budget   link lte" in gateway.run("status").stdout
            assert len(gateway.queue()) == left
            assert gateway.run("send").returncode == 75
            assert gateway.run("try", row["id"]).returncode == 0
            eventually(lambda: len(gateway.queue()) == left - 1, "an operator's word is above the budget")

    branch.inside(body)
