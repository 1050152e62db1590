"""The commit scheme, in one place: what is durable when, and what follows when.

    write        notes go into the journal in groups (`gateway.spool.groups`); then the caller goes on
    follow       within a second the pairs in queue/ and removed/ are made as the journal says, without a flush; a message that
                 ended before that is never written at all
    checkpoint   a new journal file is begun, the pairs follow, `ended` is extended, one syncfs saves all of it (or, where the
                 file system has none that can be relied on, an fsync each); then the older journal files are free

A cut at any step leaves the notes in the journal, and start (`gateway.spool.recovery`) does the rest again. The event loop
owns all state here; the journal is written on a thread of its own, since its flush must not wait for anything else; pairs,
contents and checkpoints are done on up to six others, made as they are needed: flushes of large content and checkpoints
wait for the disk, each for itself, and reads must not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from gateway.durable import Disk, remove_file
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, Journal, Remark
from gateway.spool import pairs
from gateway.spool.ended import EndedLog
from gateway.spool.groups import Groups
from gateway.spool.journal_state import change_of, read_journal
from gateway.spool.layout import Layout
from gateway.spool.notes import Kind, Note
from gateway.spool.pairs import Change
from gateway.spool.writeahead import MOST_FILES, WriteAhead
from gateway.spool.written import Written

T = TypeVar("T")

MOST_HELD = 8 * 1024 * 1024
"""Octets of content in memory that are not in pairs yet; above it, commits wait for the pairs to follow."""

_PASS = 256  # messages a pass hands to the thread at once, so that reads of other messages get their turn


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: `follow` until pairs are made, `checkpoint` until the journal is emptied, `retry` after a disk's refusal."""

    follow: float = 0.25
    checkpoint: float = 30.0
    retry: float = 2.0


class Ledger:
    """Writes notes and keeps the pairs in step.

    `changes`: what a start found in the journal and not surely in pairs. `live`, set before `start`: the IDs that are messages
    or may become so, and the counter below which every other ID has ended; asked at checkpoints.
    """

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        log: WriteAhead,
        ended: EndedLog,
        *,
        journal: Journal,
        pace: Pace,
        changes: Iterable[Change] = (),
    ) -> None:
        self._disk, self._layout, self._log, self._ended = disk, layout, log, ended
        self._journal, self._pace = journal, pace
        self._groups = Groups(log, lambda: tuple(self.on_wire), self._take_in, self._journal_fails)
        self._files_threads = ThreadPoolExecutor(6, "spool")
        self.pending: dict[str, Change] = {change.id: change for change in changes}
        self.on_wire: set[str] = set()
        self.live: Callable[[], tuple[list[str], int]] = lambda: ([], 0)
        self._held = sum(change.octets for change in self.pending.values())
        self._just_ended = {c.id: None for c in self.pending.values() if c.place == "gone"}
        self._linked: set[str] = set()
        self._unflushed: set[str] = set()
        self._wake = asyncio.Event()
        self._followed = asyncio.Condition()
        self._file_work = asyncio.Lock()
        self._follow_at = self._checkpoint_at = float("inf")
        self._turned: int | None = None
        self._distrusts = False
        self._in_trouble = self._closing = False
        self.visits = 0  # calls that are on their way to a files thread and back
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Put a start's changes into pairs and empty the journal; where the disk does not let us, go on without and retry."""
        if self.pending or self._log.needed:
            await self.checkpoint()
        self._task = asyncio.create_task(self._run(), name="spool")

    async def close(self) -> None:
        """Bring everything into pairs and leave an empty journal, as far as the disk lets us."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._turned = None  # whatever was begun: nothing shall be left in any file
        if self._log.needed and await self.checkpoint():
            # The newest header still names the older files: one more, which needs nothing before it.
            with contextlib.suppress(SpoolError):
                await self._groups.turn()
        await self._groups.close()
        self._files_threads.shutdown()

    async def on_disk(self, call: Callable[[], T]) -> T:
        """Run a blocking call on a files thread. OSErrors pass."""
        self.visits += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._files_threads, call)
        finally:
            self.visits -= 1

    # -- the journal ---------------------------------------------------------------------------------------------------

    def write(self, notes: Sequence[Note]) -> Written:
        """See `Groups.write`."""
        return self._groups.write(notes)

    def count_coming(self, change: int) -> None:
        """Of the messages that are being handed in there is one more, or one fewer."""
        self._groups.coming += change

    @property
    def is_full(self) -> bool:
        """True while the disk does not take pairs or notes: no new mail then."""
        return self._in_trouble

    @property
    def _is_behind(self) -> bool:
        """So much waits for pairs or for a checkpoint that accepting has to wait, too."""
        return self._held > MOST_HELD or self._log.needed >= MOST_FILES

    async def room(self) -> None:
        """Wait until what was accepted has followed far enough; SpoolFull where the disk does not take it."""
        if not self._is_behind:
            return
        self._follow_at = 0.0
        self._wake.set()
        async with self._followed:
            await self._followed.wait_for(lambda: not self._is_behind or self._in_trouble)
        if self._in_trouble:
            raise SpoolFull("the disk does not take the mail that is accepted already")

    def _journal_fails(self) -> None:
        self._checkpoint_at = 0.0
        self._wake.set()

    def _take_in(self, note: Note, number: int) -> None:
        self._soon("_checkpoint_at", self._pace.checkpoint)
        if note.kind is Kind.WIRE:
            self.on_wire.add(note.id)
            return
        self.on_wire.discard(note.id)
        if note.kind is Kind.CLEAR:
            return
        if note.kind is Kind.ENDED:
            self._just_ended[note.id] = None
        change = change_of(note, number)
        change.content = note.content or None
        older = self.pending.pop(note.id, None)
        if older is not None:
            self._held -= older.octets
            if change.place == "gone" and older.never_written:
                return
            change.over(older)
        self.pending[note.id] = change
        self._held += change.octets
        self._soon("_follow_at", self._pace.follow)
        if self._held > MOST_HELD // 2 or self._log.needed > 1:
            self._wake.set()

    def _soon(self, what: str, seconds: float) -> None:
        if getattr(self, what) == float("inf"):
            setattr(self, what, asyncio.get_running_loop().time() + seconds)
            self._wake.set()

    # -- pairs and checkpoints -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            delay = max(0.0, min(self._follow_at, self._checkpoint_at) - loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if delay == float("inf") else delay)
            self._wake.clear()
            if self._closing:
                return
            now = loop.time()
            if now >= self._checkpoint_at:
                await self.checkpoint()
            elif self._log.needed > 1 and not self._in_trouble:
                await self.checkpoint(only_older=True)
            elif now >= self._follow_at or (self._held > MOST_HELD // 2 and not self._in_trouble):
                async with self._file_work:
                    await self._follow()

    async def follow(self, items: Iterable[str]) -> None:
        """Make the pairs of these messages now. What the disk refuses is tried again with all others."""
        wanted = frozenset(items)
        async with self._file_work:
            await self._follow(wanted)

    async def checkpoint(self, *, only_older: bool = False) -> bool:
        """Empty the journal into flushed pairs; False where the disk does not let us: it stays, and is tried again.

        `only_older`: the file that is being written may stay as it is, if it has begun well.
        """
        async with self._file_work:
            if not only_older:
                self._checkpoint_at = float("inf")
            if self._turned is None and only_older and self._groups.written_to == self._log.number:
                self._turned = self._groups.written_to
            try:
                done = await self._checkpoint()
            except (SpoolError, OSError) as exc:
                self._trouble(str(exc) if isinstance(exc, SpoolError) else (exc.strerror or str(exc)))
                done = False
            if done:
                self._over()
            else:
                self._checkpoint_at = asyncio.get_running_loop().time() + self._pace.retry
            async with self._followed:
                self._followed.notify_all()
            return done

    async def _checkpoint(self) -> bool:
        if self._turned is None:
            self._turned = await self._groups.turn()
        if self._distrusts:
            await self._distrust()
        if not await self._follow():
            return False
        items, linked, made = list(self._just_ended), tuple(self._linked), frozenset(self._unflushed)
        live = self.live() if self._ended.wants_rewrite(len(self.pending)) else None
        try:
            await self.on_disk(partial(self._save, items, live, made))
        except OSError:
            self._ended.distrust()
            self._distrusts = True
            await self._distrust()
            raise
        for item in items:
            del self._just_ended[item]
        # Linked and flushed: their names in incoming/ are no longer needed. A cut before this leaves strays for start to sweep.
        await self.on_disk(lambda: [remove_file(self._disk, f"{self._layout.incoming}/{item}.eml") for item in linked])
        self._linked.difference_update(linked)
        self._unflushed.difference_update(made)
        number, self._turned = self._turned, None
        await self._groups.run(partial(self._log.release, number))
        return True

    def _save(self, items: list[str], live: tuple[list[str], int] | None, made: frozenset[str]) -> None:
        if live is None:
            self._ended.append(items)
        else:
            self._ended.rewrite(items, *live)
        pairs.flush(self._disk, self._layout, made)

    async def _distrust(self) -> None:
        """A flush failed: no pair made since the last good one can be trusted. All are made anew, as new files."""
        state = await self.on_disk(partial(read_journal, self._disk, self._log.needed_files))
        for item, change in state.changes.items():
            newer = self.pending.get(item)
            if item in self._just_ended:  # perhaps while the journal was read
                change = replace(change, place="gone", record=None, content=None)
            if newer is None:
                self.pending[item] = change
                self._held += change.octets
            else:
                self._held -= newer.octets
                self._held += newer.over(change).octets
        self._distrusts = False

    async def _follow(self, only: frozenset[str] | None = None) -> bool:
        """Make the pairs of all changes that are pending now (or of these); True if all of them are as they should be."""
        work = [change for change in self.pending.values() if only is None or change.id in only]
        failed: list[tuple[Change, OSError]] = []
        for at in range(0, len(work), _PASS):
            batch = [change for change in work[at : at + _PASS] if self.pending.get(change.id) is change]
            for change in batch:
                change.tried = True
            bad = await self.on_disk(partial(pairs.apply, self._disk, self._layout, batch))
            refused: set[str] = set()
            for change, exc in bad:
                if isinstance(exc, pairs.ContentGone):  # the next claim sets aside what is left
                    self._journal.record(Alarm("spool", f"{change.id}: its content is no longer on the disk"))
                else:
                    failed.append((change, exc))
                    refused.add(change.id)
            for change in batch:
                if change.id not in refused:
                    self._done(change)
            async with self._followed:
                self._followed.notify_all()
        if failed:
            self._trouble(failed[0][1].strerror or str(failed[0][1]))
            self._follow_at = asyncio.get_running_loop().time() + self._pace.retry
        elif only is None:
            self._follow_at = float("inf")
            if self.pending:
                self._soon("_follow_at", self._pace.follow)
            self._over()
        async with self._followed:
            self._followed.notify_all()
        return not failed

    def _done(self, change: Change) -> None:
        if change.place == "gone":
            self._unflushed.discard(change.id)
        else:
            self._unflushed.add(change.id)
        if change.large:
            if change.place == "gone":
                self._linked.discard(change.id)
            else:
                self._linked.add(change.id)
        newer = self.pending[change.id]
        self._held -= newer.octets
        if newer is change:
            del self.pending[change.id]
            return
        # Changed again meanwhile: what has just been written need not be written once more.
        if newer.content is change.content:
            newer.content = None
        if newer.record is change.record:
            newer.record = None
        self._held += newer.octets

    def _trouble(self, why: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._journal.record(Alarm("spool", f"the disk does not take what is to be written: {why}; trying again"))

    def _over(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._journal.record(Remark("spool", "the disk takes what is written again"))
