"""kill -9 at random moments under load, with deliveries running: what was acknowledged is delivered, and rarely twice.

20 kills by default; `TIDEGATE_KILLS=200` for the long proof (`contrib/proofs/kill`). The seed is printed and taken from
`TIDEGATE_SEED`.
"""

from __future__ import annotations

import contextlib
import os
import random
import smtplib
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

KILLS = int(os.environ.get("TIDEGATE_KILLS", "20"))
SEED = int(os.environ.get("TIDEGATE_SEED", "0")) or random.randrange(1, 10**6)
CLIENTS = 3


class Load:
    """Clients that hand in numbered letters until told to stop; remembers which got their 250."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, port: int) -> list[threading.Thread]:
        self._stop.clear()
        threads = [threading.Thread(target=self._client, args=(port,), daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def stop(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join(30)

    def _client(self, port: int) -> None:
        with (
            contextlib.suppress(OSError, smtplib.SMTPException),
            smtplib.SMTP("127.0.0.1", port, local_hostname="pc.branch.example", timeout=20) as client,
        ):
            while not self._stop.is_set():
                with self._lock:
                    self._number += 1
                    name = f"letter-{self._number}-end"
                size = 100_000 if self._number % 17 == 0 else 2_000
                client.sendmail(
                    "anna@branch.example", ["ops@hq.example"], letter(name, "x" * 70 + "\r\n") + b"y" * size
                )
                with self._lock:
                    self.acknowledged.add(name)


@pytest.mark.timeout(60 + 10 * KILLS)
def test_nothing_acknowledged_is_lost_and_a_kill_costs_at_most_one_copy(tmp_path: Path) -> None:
    dice, load = random.Random(SEED), Load()
    marks: list[int] = []
    print(f"seed {SEED}, {KILLS} kills")
    with RelayThread() as relay:
        gateway = Gateway(tmp_path, "mode: online\nqueue: {retry_interval: 1 s}\n" + relay.settings)
        for _ in range(KILLS):
            gateway.start()
            threads = load.run(gateway.port)
            threading.Event().wait(dice.uniform(0.05, 0.8))
            gateway.kill()
            marks.append(len(relay.messages))
            load.stop(threads)
        with gateway:
            # What a kill left in doubt is due at once after a start, so that the queue drains without ten minutes' wait.
            eventually(lambda: not gateway.queue(), "the queue is empty", 120.0)
            assert not list((gateway.spool / "set-aside").iterdir())
        names = [
            next(line for line in m.octets.split(b"\r\n") if line.startswith(b"Subject: "))[9:].decode()
            for m in relay.messages
        ]
        copies = Counter(names)
    lost = load.acknowledged - copies.keys()
    assert not lost, f"{len(lost)} of {len(load.acknowledged)} lost"
    assert len(load.acknowledged) > KILLS  # there was a load worth the name
    extra = sum(count - 1 for count in copies.values())
    print(f"{len(load.acknowledged)} acknowledged, {sum(copies.values())} arrived, {extra} extra copies")
    for arrivals in generations(names, marks):
        # One lifetime of the gateway sends a message once; the second may be what its predecessor had put on the wire.
        assert max(Counter(arrivals).values(), default=0) <= 2


def generations(names: list[str], marks: list[int]) -> list[list[str]]:
    """What arrived between one kill and the next."""
    return [names[begin:end] for begin, end in pairwise([0, *marks, len(names)])]
