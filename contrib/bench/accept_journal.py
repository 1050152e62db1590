"""What accepting costs the disk: flushes and octets written for each message, at the spool itself, without SMTP.

    python contrib/bench/accept_journal.py [--folder DIR] [--messages N] [--octets N] [--slow SECONDS]

So many clients at once (1, 10, 50) hand in messages, each waits for its commit, nothing is delivered. Flushes are counted where
they are made; octets are the block device's own count, with everything flushed at the end. `--slow` makes each flush that
much slower, as an SD card does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.clock import SystemClock
from gateway.durable import Disk
from gateway.events import Journal
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.spool.spool import Spool


class CountingDisk(Disk):
    __slots__ = ("flushes", "slow")

    def __init__(self, slow: float) -> None:
        self.flushes, self.slow = 0, slow

    def _flush(self) -> None:
        self.flushes += 1
        if self.slow:
            time.sleep(self.slow)

    def fsync(self, descriptor: int) -> None:
        self._flush()
        super().fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        self._flush()
        super().fdatasync(descriptor)

    def fsync_dir(self, path: str) -> None:
        self._flush()
        super().fsync_dir(path)

    def sync_all(self, path: str) -> None:
        self._flush()
        super().sync_all(path)


def written(folder: Path) -> int:
    """Octets that the device of this folder has been given so far."""
    device = os.stat(folder).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") as stat:
        return int(stat.read().split()[6]) * 512


async def measure(folder: Path, clients: int, messages: int, octets: int, slow: float) -> None:
    disk = CountingDisk(slow)
    spool = await Spool.open(folder / "spool", clock=SystemClock(), journal=Journal(), reserve=0, durable=disk)
    content = (b"x" * 76 + b"\r\n") * (octets // 78 + 1)
    content = content[:octets]
    envelope = Envelope("a@branch.test", (Recipient("b@dest.test"),))
    left = messages

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            draft = spool.draft(
                [lambda item: f"Received: from client by gw.test with ESMTP id {item}\r\n".encode() * 2]
            )
            for at in range(0, octets, 65536):
                await draft.write(content[at : at + 65536])
                await asyncio.sleep(0)
            await spool.commit(draft, envelope, message_class="normal", peer=Peer("127.0.0.1", "client.test"))

    for _ in range(2):  # the journal's files are made on the way
        left = messages
        await asyncio.gather(*[client() for _ in range(clients)])
        await spool._ledger.checkpoint()
    os.sync()
    disk.flushes, before, left = 0, written(folder), messages
    start, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*[client() for _ in range(clients)])
    seconds = time.perf_counter() - start
    await spool._ledger.checkpoint()
    used = resource.getrusage(resource.RUSAGE_SELF)
    flushes = disk.flushes
    os.sync()
    kib = (written(folder) - before) / 1024
    milliseconds = (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) * 1000
    print(
        f"{clients:3} clients: {messages / seconds:7.0f} messages/s, {milliseconds / messages:.3f} ms CPU, "
        f"{flushes / messages:.3f} flushes and {kib / messages:.1f} KiB to disk for each {octets} octets"
    )
    await spool.close()
    shutil.rmtree(folder / "spool")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=None, help="on the disk to be measured; default: the temporary one"
    )
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--slow", type=float, default=0.0)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="accept-", dir=chosen.folder))
    try:
        for clients in (1, 10, 50):
            asyncio.run(measure(folder, clients, chosen.messages, chosen.octets, chosen.slow))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
