"""Memory and latency of the whole gateway, as one table.

    .venv/bin/python contrib/bench/footprint.py [--quick]

idle       PSS of the process 60 s after `ready` (--quick: 5 s); no other Python should run, since pages are shared
accept     peak growth of resident memory while ten clients hand in 20 MB each at once
send       the same while the ten leave through the relay
latency    a message into the idle gateway, Online: from the client's 250 to the relay's last octet, median of 50
"""

from __future__ import annotations

import smtplib
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

MB = 1_000_000


def smaps(pid: int, key: str) -> float:
    """A figure of /proc/PID/smaps_rollup in MB (10^6)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024 / MB
    raise LookupError(key)


class Peak:
    """The largest resident memory seen while the context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stop = pid, threading.Event()
        self.before = self.peak = smaps(pid, "Rss")
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, smaps(self._pid, "Rss"))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def hand_in_many(port: int, count: int, size: int) -> None:
    def one(number: int) -> None:
        line = b"x" * 76 + b"\r\n"
        with smtplib.SMTP("127.0.0.1", port, local_hostname="pc", timeout=120) as client:
            client.sendmail(
                "anna@branch.example", ["ops@hq.example"], letter(f"No. {number}") + line * (size // len(line))
            )

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    quiet = 5.0 if "--quick" in sys.argv else 60.0
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder, RelayThread() as relay:
        gateway = Gateway(Path(folder), "mode: offline\n" + relay.settings, plain=True)
        with gateway:
            time.sleep(quiet)
            rows.append((f"PSS {quiet:.0f} s after ready", f"{smaps(gateway.pid, 'Pss'):.1f} MB"))
            rows.append(("  of which private", f"{smaps(gateway.pid, 'Private_Dirty'):.1f} MB"))
            with Peak(gateway.pid) as peak:
                hand_in_many(gateway.port, 10, 20 * MB)
            rows.append(("accept 10 x 20 MB at once", f"+{peak.peak - peak.before:.1f} MB"))
            with Peak(gateway.pid) as peak:
                gateway.run("mode", "online")
                eventually(lambda: len(relay.messages) == 10, "all sent", 120)
            rows.append(("send 10 x 20 MB", f"+{peak.peak - peak.before:.1f} MB"))
            relay.messages.clear()
            waits = []
            for number in range(50):
                time.sleep(2.5 if number % 10 == 0 else 0.2)
                gateway.hand_in(letter(f"No. {number}"))
                begun = time.perf_counter()
                while len(relay.messages) <= number:
                    time.sleep(0.0002)
                waits.append((time.perf_counter() - begun) * 1000)
            fresh = [wait for number, wait in enumerate(waits) if number % 10 == 0]
            rows.append(("250 to arrival, median of 50", f"{statistics.median(waits):.1f} ms"))
            rows.append(("  with a new connection, median of 5", f"{statistics.median(fresh):.1f} ms"))
    for name, value in rows:
        print(f"{name:<40} {value:>10}")


if __name__ == "__main__":
    main()
