"""Run apart: a Reception over a real spool takes N messages of so many octets at once; prints by how many KiB it grew.

Usage: reception_memory.py SPOOL N OCTETS. The clients are a child process, so that only the gateway's memory is measured.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from gateway import eventloop
from gateway.clock import SystemClock
from gateway.config.settings import Address, ListenSettings, Settings
from gateway.events import Journal
from gateway.reception.reception import Reception
from gateway.spool.spool import Spool

LINE = b"A" * 76 + b"\r\n"


def send_all(port: int, count: int, octets: int) -> None:
    """In the child: all messages at the same time, one thread each."""
    failed = []

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=90) as sock, sock.makefile("rb") as replies:
            for command in (b"", b"HELO x\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<d@e.f>\r\n", b"DATA\r\n"):
                sock.sendall(command)
                replies.readline()
            block = LINE * 800
            for _ in range(octets // len(block)):
                sock.sendall(block)
            sock.sendall(b".\r\n")
            if not replies.readline().startswith(b"250 "):
                failed.append(True)

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(1 if failed else 0)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def main(root: Path, count: int, octets: int) -> int:
    journal = Journal()
    spool = await Spool.open(root, clock=SystemClock(), journal=journal, reserve=0)
    settings = Settings(path=None, hostname="gw.test", spool=root, listen=(ListenSettings(Address("127.0.0.1", 0)),))
    reception = Reception(settings, spool, clock=SystemClock(), journal=journal)
    [address] = await reception.start()

    async def burst(messages: int, size: int) -> None:
        child = os.fork()
        if child == 0:
            send_all(address.port, messages, size)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0, status

    await burst(1, 100_000)  # what is loaded and started at first use is no growth
    before = peak()
    await burst(count, octets)
    grown = peak() - before
    assert len(spool.entries) == count + 1
    await reception.stop(5)
    await spool.close()
    return grown


if __name__ == "__main__":
    print(eventloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
