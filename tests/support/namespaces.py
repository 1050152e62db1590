"""Two network namespaces joined by a cable, `branch` with eth0 and `far` with far0, and bodies of tests that run inside."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

_NEWNET = 0x40000000

T = TypeVar("T")


def why_not() -> str | None:
    """Why this machine cannot make namespaces for a test; None if it can."""
    if os.geteuid() != 0:
        return "making a network namespace needs root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "this machine makes no network namespaces"


def require() -> None:
    """Skip with the reason where they cannot be made, and fail where CI says that they must."""
    reason = why_not()
    if reason is not None:
        if os.environ.get("TIDEGATE_LABS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def made(name: str, *, ipv6: bool = False) -> Iterator[Namespaces]:
    """Both, while the context lasts, under names of this process alone; skips as `require` does. The branch is down."""
    require()
    both = Namespaces(f"{name}{os.getpid()}")
    try:
        both.make()
        if not ipv6:
            both.without_ipv6()
        yield both
    finally:
        both.remove()


class Namespaces:
    """The branch is 10.1.0.2, the far end 10.1.0.1 and its default gateway; the far end's state is the branch's carrier."""

    def __init__(self, name: str) -> None:
        self.name, self.far = name, f"{name}f"

    def ip(self, *words: str, far: bool = False) -> None:
        subprocess.run(["ip", "-n", self.far if far else self.name, *words], check=True, capture_output=True)

    def make(self) -> None:
        for name in (self.name, self.far):
            subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", "far0", "netns", self.far)
        self.ip("link", "set", "far0", "up", far=True)
        self.ip("addr", "add", "10.1.0.1/24", "dev", "far0", far=True)

    def come_up(self) -> None:
        """The branch's own end; before it there is no carrier."""
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", "10.1.0.2/24", "dev", "eth0")
        self.ip("route", "add", "default", "via", "10.1.0.1")

    def without_ipv6(self) -> None:
        """The kernel's own neighbour discovery would be counted among our packets."""
        for namespace, interface in ((self.name, "eth0"), (self.far, "far0")):
            quiet = f"echo 1 > /proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
            subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", quiet], check=True)

    def plug(self, in_: bool) -> None:
        """The cable, at the far end."""
        self.ip("link", "set", "far0", "up" if in_ else "down", far=True)

    def packets_out(self) -> int:
        """What eth0 has sent, by its own count."""
        words = ["ip", "-n", self.name, "-s", "-j", "link", "show", "eth0"]
        shown = subprocess.run(words, check=True, capture_output=True, text=True)
        return int(json.loads(shown.stdout)[0]["stats64"]["tx"]["packets"])

    def remove(self) -> None:
        for name in (self.name, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def inside(self, body: Callable[[], T]) -> T:
        """See `inside`; of the branch."""
        return inside(self.name, body)


def inside(name: str, body: Callable[[], T]) -> T:
    """Run the body in a thread of the namespace; processes and threads that it starts live there, too."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(f"/var/run/netns/{name}").open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            results.append(body())
        except BaseException as exc:  # handed to the thread of the test
            failures.append(exc)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
