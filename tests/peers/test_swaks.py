"""swaks, the Swiss army knife of SMTP tests, as a client (Debian package swaks)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, eventually
from tests.support.relaythread import RelayThread

pytestmark = pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")


@pytest.mark.parametrize("options", [(), ("--pipeline",), ("--attach", "-")])
def test_what_swaks_sends_arrives(tmp_path: Path, options: tuple[str, ...]) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        command = [
            "swaks",
            "--server",
            f"127.0.0.1:{gateway.port}",
            "--from",
            "a@branch.example",
            "--to",
            "b@hq.example",
        ]
        command += ["--helo", "pc.branch.example", "--body", "Hello from swaks.", *options]
        done = subprocess.run(command, input="attached\n", capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        message = eventually(lambda: relay.messages, "it arrived")[0]
        assert (message.sender, message.recipients) == ("a@branch.example", ["b@hq.example"])
        assert b"Hello from swaks." in message.octets
        assert message.octets.count(b"\r\nReceived:") == 0  # ours is the first line, and the only one
