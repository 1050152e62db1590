"""A gateway whose clock cannot be right: what it says, what it keeps, and the operator's word."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

ALWAYS = "timezone: UTC\nwindows:\n  - {name: Always, open: '00:00-24:00'}\n"
URGENT = "classes:\n  - {class: urgent, from: alarm@branch.example}\n"


def test_windows_wait_for_the_clock_urgent_mail_does_not_and_an_operator_can_accept_it(tmp_path: Path) -> None:
    state = tmp_path / "spool" / "state"
    state.mkdir(parents=True, mode=0o700)
    (tmp_path / "spool").chmod(0o700)
    floor = time.time() + 30 * 86400
    (state / "clock").write_text(json.dumps({"floor": floor}))
    with RelayThread() as relay, Gateway(tmp_path, "mode: offline\n" + URGENT + relay.settings, ALWAYS) as gateway:
        waiting = gateway.hand_in(letter())
        gateway.hand_in(letter("fire"), sender="alarm@branch.example")
        message = eventually(lambda: relay.messages, "the urgent one left")[0]
        assert message.sender == "alarm@branch.example"
        best = time.strftime("%d %b %Y %H:%M:%S +0000", time.gmtime(floor)).lstrip("0")  # not the clock's own
        assert f", {best} (clock not set)\r\n".encode() in message.octets.partition(b"\r\n\r\n")[0]
        row = gateway.queue()[0]
        assert (row["id"], row["next_try"]["kind"]) == (waiting, "never")
        assert row["status"].startswith("the clock is not set")
        assert "clock" in [check["name"] for check in gateway.json("explain", waiting)[0]["checks"]]
        assert gateway.json("status")[0]["clock"].startswith("the clock is not set")
        assert "clock" in gateway.run("status").stdout
        assert gateway.json("clock", "accept")[0]["is_set"] is True
        eventually(lambda: len(relay.messages) == 2, "the window carries the other")
        assert gateway.json("status")[0]["clock"] is None
        gateway.stop()
        gateway.start()
        assert gateway.json("status")[0]["clock"] is None
