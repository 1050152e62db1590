"""A message bus of the test's own (`dbus-daemon`), never the system's or a session's, and the rule for skipping without one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def require() -> None:
    """Skip where there is no `dbus-daemon`, and fail where CI says that what it installs must be used."""
    if shutil.which("dbus-daemon") is None:
        if os.environ.get("TIDEGATE_LABS_REQUIRED"):
            pytest.fail("dbus-daemon is not installed")
        pytest.skip("dbus-daemon is not installed")


@contextlib.contextmanager
def message_bus(folder: Path) -> Iterator[str]:
    """The bus's address, while the block lasts."""
    config, socket = folder / "bus.conf", folder / "bus"
    config.write_text(CONFIG.format(socket=socket))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        try:
            assert daemon.stdout.readline(), "dbus-daemon did not start"
            yield f"unix:path={socket}"
        finally:
            daemon.terminate()
