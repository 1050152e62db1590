"""The monitor against the kernel's own interfaces and routes, in a network namespace that the test makes and removes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import namespaces
from tests.support.labs import ROOT
from tests.support.namespaces import Namespaces


@pytest.fixture
def namespace() -> Iterator[Namespaces]:
    with namespaces.made("tg", ipv6=True) as both:
        yield both


class Watcher:
    """The monitor's process, and the states it told."""

    def __init__(self, namespace: Namespaces, *words: str) -> None:
        command = ["ip", "netns", "exec", namespace.name, sys.executable, "-m", "tests.support.monitor_process", *words]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._states: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._states.put(json.loads(line))

    def until(self, condition: Callable[[dict[str, Any]], bool], within: float = 15.0) -> dict[str, Any]:
        """The first state told from now on that fits."""
        deadline = time.monotonic() + within
        seen = []
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                seen.append(self._states.get(timeout=left))
                if condition(seen[-1]):
                    return seen[-1]
        raise AssertionError(f"not seen within {within:g} s: {seen}")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def watching(namespace: Namespaces, *words: str) -> Iterator[Watcher]:
    watcher = Watcher(namespace, *words)
    try:
        yield watcher
    finally:
        watcher.end()


def test_carrier_address_and_route_are_seen_as_they_come_and_go(namespace: Namespaces) -> None:
    with watching(namespace, "eth0", "permanent", "smtp.hq.example", "25", "none") as watcher:
        assert watcher.until(lambda s: True)["why"] == "line: eth0 has no carrier"
        namespace.come_up()
        assert watcher.until(lambda s: s["mode"] == "online")["addresses"] == ["10.1.0.2"]
        # The kernel itself, for all namespaces together, tells of carriers at most once a second; ours is what follows.
        assert min(seconds_to_see_a_fall(namespace, watcher) for _ in range(2)) < 0.2


def seconds_to_see_a_fall(namespace: Namespaces, watcher: Watcher) -> float:
    """From the kernel's word that the cable was pulled at the other end. The line is up again afterwards."""
    namespace.plug(False)
    lost = watcher.until(lambda s: not s["up"])
    assert (lost["mode"], lost["why"]) == ("offline", "line: eth0 has no carrier")
    namespace.plug(True)
    watcher.until(lambda s: s["up"])
    return float(lost["at"]) - float(lost["heard"])


def test_the_loss_of_a_default_route_that_nobody_announces_is_seen(namespace: Namespaces) -> None:
    namespace.come_up()
    with watching(namespace, "default", "permanent", "smtp.hq.example", "25", "none") as watcher:
        watcher.until(lambda s: s["mode"] == "online")
        namespace.ip("link", "set", "eth0", "down")
        assert watcher.until(lambda s: not s["up"])["why"] == "line: no route to smtp.hq.example"
        namespace.ip("link", "set", "eth0", "up")
        namespace.ip("route", "add", "default", "via", "10.1.0.1")
        watcher.until(lambda s: s["mode"] == "online")


def test_a_link_over_default_loses_its_relay_with_the_carrier_of_the_way_to_it(namespace: Namespaces) -> None:
    namespace.come_up()
    with watching(namespace, "default", "permanent", "10.1.0.1", "25", "none") as watcher:
        watcher.until(lambda s: s["mode"] == "online")
        namespace.plug(False)
        assert watcher.until(lambda s: not s["up"])["why"] == "line: eth0 has no carrier"


@pytest.fixture
def relay(namespace: Namespaces) -> Iterator[subprocess.Popen[str]]:
    namespace.come_up()
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace.far, sys.executable, "-c", RELAY], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def test_a_probe_finds_the_relay_through_the_line_and_misses_it_when_it_is_gone(
    namespace: Namespaces, relay: subprocess.Popen[str]
) -> None:
    with watching(namespace, "eth0", "permanent", "10.1.0.1", "2525", "1") as watcher:
        watcher.until(lambda s: s["usable"])
        relay.kill()
        silent = watcher.until(lambda s: s["up"] and not s["usable"])
        assert silent["mode"] == "offline"
        assert "10.1.0.1 does not answer" in silent["why"]


@pytest.mark.usefixtures("relay")
def test_a_far_side_that_goes_dark_is_offline_within_two_probe_intervals_and_their_time_out(
    namespace: Namespaces,
) -> None:
    """The carrier stays, and nothing comes back any more: what the far side would answer goes nowhere."""
    interval, timeout = 1.0, 1.5
    with watching(namespace, "eth0", "permanent", "10.1.0.1", "2525", f"{interval}", f"{timeout}") as watcher:
        watcher.until(lambda s: s["usable"])
        dark = time.time()
        namespace.ip("route", "add", "blackhole", "10.1.0.2/32", far=True)
        silent = watcher.until(lambda s: not s["usable"])
        took = silent["at"] - dark
        print(f"dark to Offline: {took:.2f} s of {2 * (interval + timeout):g} s")
        assert (silent["mode"], silent["up"], silent["carrier"]) == ("offline", True, True)
        assert silent["why"] == f"line: 10.1.0.1 does not answer within {timeout:g} s"
        assert took < 2 * (interval + timeout) + 1.0


def test_a_line_that_flaps_changes_the_mode_at_most_four_times(namespace: Namespaces) -> None:
    """Three falls here; `contrib/proofs/flap` runs the five minutes of three seconds each way."""
    falls, seconds = int(os.environ.get("TIDEGATE_FLAPS", "3")), float(os.environ.get("TIDEGATE_FLAP_SECONDS", "0.2"))
    namespace.come_up()
    with watching(namespace, "eth0", "permanent", "smtp.hq.example", "25", "none") as watcher:
        modes = [watcher.until(lambda s: s["mode"] == "online")["mode"]]
        for _ in range(falls):
            for state in ("down", "up"):
                namespace.plug(state == "up")
                modes.append(watcher.until(lambda s, up=state == "up": s["up"] is up)["mode"])  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                time.sleep(seconds)
        changes = sum(before != after for before, after in itertools.pairwise(modes))
        print(f"{falls} falls, {changes} changes of the mode")
        assert changes <= 4
        if seconds >= 3:
            watcher.until(lambda s: s["mode"] == "online", within=70)  # calm again


def test_a_metered_line_carries_no_packet_of_the_monitor_whatever_happens_around_it(namespace: Namespaces) -> None:
    namespace.without_ipv6()
    namespace.come_up()
    before = namespace.packets_out()
    with watching(namespace, "eth0", "metered", "smtp.hq.example", "25", "1") as watcher:
        watcher.until(lambda s: s["up"])
        for _ in range(5):
            namespace.ip("route", "add", "10.9.0.0/16", "via", "10.1.0.1")
            namespace.ip("addr", "add", "10.8.0.1/24", "dev", "eth0")
            namespace.ip("addr", "del", "10.8.0.1/24", "dev", "eth0")
            namespace.ip("route", "del", "10.9.0.0/16")
        namespace.ip("route", "del", "default")
        watcher.until(lambda s: not s["up"])
    assert namespace.packets_out() == before


RELAY = """
import socket
listener = socket.create_server(("10.1.0.1", 2525))
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"220 hq.example ESMTP\\r\\n")
    connection.recv(1000)
    connection.sendall(b"250-hq.example\\r\\n250 8BITMIME\\r\\n")
    connection.recv(1000)
    connection.close()
"""
