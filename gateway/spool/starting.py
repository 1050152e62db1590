"""Starting: from a folder in whatever state to a ledger that takes notes, without a person (P11).

The order of it: the folders, the lock, what is there (`gateway.spool.recovery` judges), IDs to give, the journal; then what
was found is told, what was in doubt is noted, and the ledger begins. What the spool does for others from then on:
`gateway.spool.spool`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.durable import Disk
from gateway.errors import GatewayError, SpoolError
from gateway.events import Alarm, InDoubt, Journal, Remark, SetAside
from gateway.spool.ended import EndedLog
from gateway.spool.ids import BLOCK
from gateway.spool.layout import FOLDERS, Layout
from gateway.spool.ledger import Ledger, Pace
from gateway.spool.lock import SpoolLock
from gateway.spool.records import Records
from gateway.spool.recovery import DOUBT, Recovered, recover
from gateway.spool.writeahead import WriteAhead


@dataclass(frozen=True, slots=True)
class Started:
    """The lock, held; what was found; and the ledger that will carry it out, not begun yet."""

    lock: SpoolLock
    found: Recovered
    ledger: Ledger


async def start(
    disk: Disk, layout: Layout, *, clock: Clock, journal: Journal, pace: Pace, journal_octets: int
) -> Started:
    """Make what is missing (0700), lock, and read what there is, on a thread. What the journal holds stays in it: a cut right
    after this is a start again.

    Raises SpoolLocked, or SpoolError where the folder cannot be read or made, and has given the lock back. A full disk is no
    obstacle.
    """
    with ThreadPoolExecutor(1, "start") as thread:
        try:
            lock, found, log = await asyncio.get_running_loop().run_in_executor(
                thread, _open_files, disk, layout, clock, journal_octets
            )
        except OSError as exc:
            raise SpoolError(f"the spool {layout.root} cannot be used: {exc.strerror or exc}") from exc
    ended = EndedLog(disk, layout.ended, found.ids, found.ended)
    ledger = Ledger(disk, layout, log, ended, journal=journal, pace=pace, changes=found.changes.values())
    return Started(lock, found, ledger)


def _open_files(
    disk: Disk, layout: Layout, clock: Clock, journal_octets: int
) -> tuple[SpoolLock, Recovered, WriteAhead]:
    _make_folders(disk, layout)
    lock = SpoolLock(layout.lock)
    try:
        found = recover(disk, layout, clock.now())
        with contextlib.suppress(OSError):
            limit = found.ids.next + BLOCK
            found.ids.reserve(disk, layout.ids, limit)
            found.ids.extend(limit)
        log = WriteAhead(disk, layout.journal, journal_octets)
        if found.journal_is_empty:
            log.release(log.number + 1)
        with contextlib.suppress(OSError):
            log.prepare()
        return lock, found, log
    except BaseException:
        lock.release()
        raise


def _make_folders(disk: Disk, layout: Layout) -> None:
    """SPOOL and its folders, where they are missing, with names that survive. Raises OSError."""
    made = False
    if not os.path.isdir(layout.root):
        os.makedirs(layout.root, 0o700, exist_ok=True)
        disk.fsync_dir(os.path.dirname(layout.root))
    for folder in FOLDERS:
        path = f"{layout.root}/{folder}"
        if not os.path.isdir(path):
            disk.mkdir(path)
            made = True
    if made:
        disk.fsync_dir(layout.root)


async def take_up(found: Recovered, ledger: Ledger, records: Records, journal: Journal) -> None:
    """Tell what was found, note what was in doubt before anything else is written, and let the ledger begin: it knows by now
    which messages live. A disk that does not take the notes costs an alarm, not the start."""
    for name, reason in found.aside:
        journal.record(SetAside(name, reason))
    for remark in found.remarks:
        journal.record(Remark("spool", remark))
    ledger.on_wire.update(found.in_doubt)
    if found.notes:
        try:
            await records.write(found.notes)
        except SpoolError as exc:
            journal.record(Alarm("spool", f"what was in doubt is not on disk yet: {exc}"))
    await ledger.start()
    for item in found.in_doubt:
        try:
            to = tuple(recipient.address for recipient in (await records.load_record(item)).pending)
        except GatewayError:
            to = ()  # a claim will find out what is the matter with it
        journal.record(InDoubt(item, to, None, DOUBT))
