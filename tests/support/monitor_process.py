"""A monitor in a process of its own, for tests that put it into a network namespace. Prints a JSON line at each change.

python -m tests.support.monitor_process INTERFACE KIND RELAY_HOST RELAY_PORT PROBE_SECONDS|none [PROBE_TIMEOUT]
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from functools import partial
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.mode import judge_mode
from gateway.connectivity.monitor import Monitor
from gateway.connectivity.netlink import KernelEvents
from gateway.connectivity.probe import probe as ask
from gateway.events import Journal


class HeardEvents(KernelEvents):
    """Notes when the kernel's first word since the last look came."""

    heard = 0.0

    def _readable(self) -> None:
        if self._pending is None:
            HeardEvents.heard = time.time()
        super()._readable()


async def main(interface: str, kind: str, host: str, port: str, probe: str, timeout: str = "20") -> None:
    link = LinkSettings("line", interface, kind, probe=None if probe == "none" else float(probe))  # type: ignore[arg-type]  # the test's own word
    relay = RelaySettings("hq", host, int(port), tls="none")
    settings = Settings(None, "gw.example", Path("spool"), links=(link,), relays=(relay,))

    def tell() -> None:
        state = monitor.states[0]
        mode, why = judge_mode("auto", monitor.states)
        row = {
            "at": time.time(),
            "heard": HeardEvents.heard,
            "up": state.up,
            "usable": state.usable,
            "mode": mode,
            "why": why,
        }
        print(json.dumps(row | {"carrier": state.carrier, "addresses": state.addresses}), flush=True)

    monitor = Monitor(
        settings,
        clock=SystemClock(),
        journal=Journal(),
        on_change=tell,
        events=HeardEvents,
        prober=partial(ask, timeout=float(timeout)),
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await monitor.start()
    await ended.wait()
    await monitor.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
