"""Spools for tests: opened with short waits, filled with small mail, looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.clock import Clock
from gateway.durable import Disk
from gateway.events import Event, Journal
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.spool.ledger import Pace
from gateway.spool.spool import Claim, Entry, Spool
from tests.support.clock import FakeClock

QUICK = Pace(follow=0.01, checkpoint=3600.0, retry=0.05)
JOURNAL_OCTETS = 256 * 1024
SMALL_MAIL = b"Subject: small\r\n\r\nhello\r\n"


async def open_spool(
    root: Path,
    events: list[Event] | None = None,
    *,
    clock: Clock | None = None,
    disk: Disk | None = None,
    pace: Pace = QUICK,
    reserve: float | int = 0,
    journal_octets: int = JOURNAL_OCTETS,
) -> Spool:
    journal = Journal()
    if events is not None:
        journal.subscribe(events.append)
    return await Spool.open(
        root,
        clock=clock if clock is not None else FakeClock(),
        journal=journal,
        reserve=reserve,
        durable=disk,
        pace=pace,
        journal_octets=journal_octets,
    )


@asynccontextmanager
async def a_spool(root: Path, events: list[Event] | None = None, **how: object) -> AsyncIterator[Spool]:
    """An open spool that is closed at the end. `how`: as for `open_spool`."""
    spool = await open_spool(root, events, **how)  # type: ignore[arg-type]  # passed on by name
    try:
        yield spool
    finally:
        await spool.close()


async def put(
    spool: Spool, content: bytes = SMALL_MAIL, to: Sequence[str] = ("b@dest.test",), sender: str = "a@branch.test"
) -> Entry:
    """Accept one message as reception does: the head, then the content in pieces."""
    draft = spool.draft([lambda item: f"Received: by gw.test id {item}\r\n".encode()])
    for at in range(0, len(content), 50_000):
        await draft.write(content[at : at + 50_000])
    envelope = Envelope(sender, tuple(Recipient(address) for address in to))
    return await spool.commit(draft, envelope, message_class="normal", peer=Peer("127.0.0.1"))


async def whole_content(spool: Spool, item: str) -> bytes:
    content = await spool.content(item)
    try:
        return await content.read(0, content.size)
    finally:
        content.close()


def say_delivered(claim: Claim, *addresses: str) -> None:
    """Mark recipients as delivered; all of them without addresses."""
    for recipient in claim.record.recipients:
        if not addresses or recipient.address in addresses:
            recipient.standing, recipient.reply = "delivered", "250 2.0.0 taken"


async def deliver(spool: Spool, item: str) -> None:
    claim = await spool.claim(item)
    await spool.mark_on_wire([item])
    say_delivered(claim)
    await spool.settle([claim])


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it is true; fails the test after so long."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def kill(spool: Spool) -> None:
    """What `kill -9` leaves: nothing more is written than was under way, and the lock is free."""
    ledger = spool._ledger
    ledger._groups._queue.clear()
    ledger._closing = True
    tasks = [task for task in (ledger._task, *spool._tasks.running) if task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for thread in ledger._groups._threads:
        thread.close()
    ledger._files_threads.shutdown(cancel_futures=True)
    ledger._log.close()
    spool._spool_lock.release()
    await asyncio.sleep(0)
