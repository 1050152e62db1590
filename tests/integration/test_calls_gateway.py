"""A modem under the whole gateway, in namespaces: real commands, a real interface, a relay at the far end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import namespaces
from tests.support.gateway import Gateway, eventually, letter
from tests.support.labs import ROOT
from tests.support.namespaces import Namespaces

RELAYS = "relays:\n  - {name: hq, host: 10.1.0.1, port: 2525, tls: none}\n"
ALWAYS = "timezone: UTC\nwindows:\n  - {name: Always, open: '00:00-24:00', dial: yes}\n"
UP = "ip link set eth0 up && ip addr add 10.1.0.2/24 dev eth0 && ip route add default via 10.1.0.1"
DOWN = "ip addr flush dev eth0; ip link set eth0 down"


@pytest.fixture
def branch() -> Iterator[Namespaces]:
    with namespaces.made("tg") as both:
        yield both


@pytest.fixture
def relay(branch: Namespaces, tmp_path: Path) -> Iterator[Path]:
    """The relay at the far end; the file of what it heard."""
    heard = tmp_path / "heard"
    words = ["ip", "netns", "exec", branch.far, sys.executable, "-m", "tests.support.farrelay", "10.1.0.1", "2525"]
    with heard.open("w") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out)
    eventually(lambda: "ready" in heard.read_text(), "the relay listens")
    yield heard
    process.terminate()
    process.wait(10)


def modem(folder: Path, more: str = "") -> str:
    """The link's settings, and its two scripts."""
    for name, text in (("up", UP), ("down", DOWN)):
        script = folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    dial = f"dial: {{up: {folder / 'up'}, down: {folder / 'down'}, within: 10 s, at_most: 40 per day}}"
    return f"links:\n  - name: modem\n    interface: eth0\n    kind: dialled\n    {dial}\n{more}"


def link_of(gateway: Gateway) -> dict[str, object]:
    return gateway.json("link")[0]


def messages(heard: Path) -> int:
    lines = [line for line in heard.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return sum(json.loads(line)["verb"] == "MAIL" for line in lines)


def test_a_call_for_a_window_and_one_for_an_operator(branch: Namespaces, relay: Path, tmp_path: Path) -> None:
    def body() -> None:
        with Gateway(tmp_path / "gw", modem(tmp_path) + RELAYS, ALWAYS) as gateway:
            assert (link_of(gateway)["call"], link_of(gateway)["calls_left"]) == ("down", 40)
            first = gateway.hand_in(letter())
            eventually(lambda: gateway.logged(first, "delivered"), "the window called and it left")
            eventually(lambda: gateway.logged("dial ", "state=down"), "the line was put down")
            assert [line.split("state=")[1].split()[0] for line in gateway.logged("dial ")] == [
                "dialling",
                "up",
                '"hanging',
                "down",
            ]
            assert [session["dials"] for session in gateway.json("status")[0]["sessions"]] == [1]
            assert link_of(gateway)["up"] is False
            second = gateway.hand_in(letter())
            row = gateway.queue()[0]
            assert (row["id"], "stays down until the next" in row["status"]) == (second, True)
            checks = gateway.json("explain", second)[0]["checks"]
            assert next(check for check in checks if check["name"] == "dial")["state"] == "wait"
            assert gateway.run("send").returncode == 75
            said = gateway.json("send", "--now")[0]
            assert (said["link"], said["text"].startswith("modem is called")) == ("modem", True)
            eventually(lambda: gateway.logged(second, "delivered"), "the operator's call took it")
            eventually(lambda: len(gateway.logged("dial ", "state=down")) == 2, "the line was put down")
            assert (messages(relay), link_of(gateway)["calls_left"]) == (2, 38)

    branch.inside(body)


def test_link_up_and_down_by_hand_and_a_crash_that_leaves_it_up(
    branch: Namespaces, relay: Path, tmp_path: Path
) -> None:
    def body() -> None:
        with Gateway(tmp_path / "gw", modem(tmp_path) + RELAYS, "timezone: UTC\n") as gateway:
            assert gateway.json("link", "up", "modem")[0]["up"] is True
            assert gateway.run("link", "down", "nosuch").returncode == 66
            assert gateway.json("link", "down", "modem")[0]["up"] is False
            assert gateway.run("link", "down", "modem").returncode == 75
            assert gateway.run("link", "up", "modem").returncode == 0
            gateway.kill()
            gateway.start()
            eventually(lambda: gateway.logged("left raised by an earlier run"), "the next start puts it down")
            eventually(lambda: link_of(gateway)["call"] == "down", "it is down")
            assert link_of(gateway)["up"] is False

    branch.inside(body)
    assert messages(relay) == 0
