"""`tidegate link event`: a hook's word reaches the monitor and the mail that waits (DESIGN 6, 8)."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

LINKS = """\
links:
  - {name: dsl, interface: lo, kind: permanent, probe: none}
  - {name: lte, interface: none0, kind: metered}
"""


def test_a_hook_says_down_and_up_and_what_waited_leaves_at_once(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, LINKS + relay.settings, "timezone: UTC\n") as gateway:
        assert gateway.json("status")[0]["mode"]["now"] == "online"
        rows = gateway.json("link", "event", "lo", "down")
        assert [(row["name"], row["up"], row["usable"]) for row in rows] == [("dsl", True, False)]
        assert rows[0]["why"] == "a hook said that lo is down"
        eventually(lambda: gateway.json("status")[0]["mode"]["now"] == "offline", "the mode follows")
        gateway.hand_in(letter())
        assert gateway.queue()
        assert gateway.run("link", "event", "lo", "up").returncode == 0
        eventually(lambda: len(relay.messages) == 1, "the mail left")


def test_a_hook_on_an_interface_of_no_link_is_no_mistake(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, LINKS + relay.settings) as gateway:
        assert gateway.json("link", "event", "docker0", "up") == []


def test_words_that_are_not_a_hooks_are_a_mistake(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, LINKS + relay.settings) as gateway:
        for words in (["event"], ["event", "lo"], ["event", "lo", "sideways"], ["event", "lo", "up", "now"]):
            assert gateway.run("link", *words).returncode == 64
