"""The line hooks call `tidegate link event` with the interface and its state, and never fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.labs import ROOT

HOOKS = ROOT / "contrib" / "hooks"


class Machine:
    """A folder with a `tidegate` that notes how it was called, and ends as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.answer(0)

    def answer(self, code: int) -> None:
        program = self.folder / "tidegate"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self.calls}\necho words\nexit {code}\n')
        program.chmod(0o755)

    def install(self, hook: str, place: str) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOOKS / hook, path)
        return path

    def run(self, hook: str, place: str, *words: str, **environ: str) -> list[str]:
        """What was called. The hook must succeed and say nothing."""
        path = self.install(hook, place)
        environ |= {"PATH": f"{self.folder}:/usr/bin:/bin"}
        ended = subprocess.run(
            [str(path), *words], env=environ, capture_output=True, text=True, check=False, timeout=30
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_pppd_says_up_and_down_by_the_folder_of_the_hook(machine: Machine) -> None:
    assert machine.run("pppd", "ip-up.d/0tidegate", PPP_IFACE="ppp0") == ["link event ppp0 up"]
    assert machine.run("pppd", "ip-down.d/0tidegate", PPP_IFACE="ppp0")[1:] == ["link event ppp0 down"]
    assert machine.run("pppd", "ipv6-up.d/0tidegate", PPP_IFACE="ppp1")[2:] == ["link event ppp1 up"]
    assert len(machine.run("pppd", "elsewhere/0tidegate", PPP_IFACE="ppp1")) == 3
    assert len(machine.run("pppd", "ip-up.d/0tidegate")) == 3


def test_ifupdown_says_up_and_down_by_its_mode_and_nothing_of_loopback(machine: Machine) -> None:
    assert machine.run("ifupdown", "if-up.d/tidegate", IFACE="eth0", MODE="start") == ["link event eth0 up"]
    assert machine.run("ifupdown", "if-down.d/tidegate", IFACE="eth0", MODE="stop")[1:] == ["link event eth0 down"]
    for iface in ("lo", "--all", ""):
        assert len(machine.run("ifupdown", "if-up.d/tidegate", IFACE=iface, MODE="start")) == 2


def test_networkmanager_says_up_and_down_of_the_interface_that_has_the_address(machine: Machine) -> None:
    place = "dispatcher.d/50-tidegate"
    assert machine.run("networkmanager", place, "eth0", "up") == ["link event eth0 up"]
    assert machine.run("networkmanager", place, "cdc-wdm0", "up", DEVICE_IP_IFACE="wwan0")[1:] == [
        "link event wwan0 up"
    ]
    assert machine.run("networkmanager", place, "eth0", "down")[2:] == ["link event eth0 down"]
    for words in (
        ("eth0", "pre-up"),
        ("eth0", "dhcp4-change"),
        ("none", "connectivity-change"),
        ("lo", "up"),
        ("", "up"),
    ):
        assert len(machine.run("networkmanager", place, *words)) == 3


def test_openwrt_says_ifup_and_ifdown_of_the_device(machine: Machine) -> None:
    place = "hotplug.d/50-tidegate"
    assert machine.run("openwrt", place, ACTION="ifup", INTERFACE="wan", DEVICE="eth1") == ["link event eth1 up"]
    assert machine.run("openwrt", place, ACTION="ifdown", INTERFACE="wan", DEVICE="eth1")[1:] == [
        "link event eth1 down"
    ]
    assert len(machine.run("openwrt", place, ACTION="ifupdate", INTERFACE="wan", DEVICE="eth1")) == 2
    assert len(machine.run("openwrt", place, ACTION="ifup", INTERFACE="loopback", DEVICE="lo")) == 2


def test_a_gateway_that_does_not_run_is_no_failure_of_the_line(machine: Machine) -> None:
    machine.answer(69)
    assert machine.run("pppd", "ip-up.d/0tidegate", PPP_IFACE="ppp0") == ["link event ppp0 up"]
    assert len(machine.run("networkmanager", "50-tidegate", "eth0", "up")) == 2
    (machine.folder / "tidegate").unlink()
    assert len(machine.run("ifupdown", "if-up.d/tidegate", IFACE="eth0", MODE="start")) == 2


@pytest.mark.parametrize("hook", ["pppd", "ifupdown", "networkmanager", "openwrt"])
def test_every_hook_is_a_short_plain_shell_script_that_may_be_run(hook: str) -> None:
    path = HOOKS / hook
    assert path.stat().st_mode & 0o777 == 0o755
    assert len(path.read_text().splitlines()) < 20
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
