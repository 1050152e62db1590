"""Notes on their way into the journal, in groups: one append and one flush serve all who hand theirs in meanwhile.

The journal is written on threads of its own, since its flush must not wait for anything else: one, and on a slow disk a few,
each with a flush under way (`gateway.spool.grouppace`). Answers are given in the order in which the groups began, so that
nobody hears of what happened later before what happened earlier. All state here belongs to the event loop. What a note means,
and what follows from it, is `gateway.spool.ledger`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.errors import SpoolError
from gateway.spool.diskerror import spool_error
from gateway.spool.grouppace import GroupPace
from gateway.spool.notes import Kind, Note
from gateway.spool.worker import Worker
from gateway.spool.writeahead import GROUP_OCTETS, WriteAhead
from gateway.spool.written import Written

SHORT = 0.0005
"""Seconds to wait for a group that has begun and is not written yet, before the next is: rarely any."""


@dataclass(slots=True)
class _Batch:
    """Notes that wait for their group; `turn`: none, but a new journal file is wanted (its number is the result)."""

    notes: Sequence[Note]
    done: Written
    turn: bool = False


@dataclass(slots=True, eq=False)
class _Group:
    """What one flush serves. `void`: notes at its head that take back those of groups that failed."""

    batches: list[_Batch]
    void: list[Note]
    thread: Worker[int]
    begun: float
    has_answer: bool = False
    number: int | None = None
    error: BaseException | None = None


class Groups:
    """`taken_in(note, number)` is called for each note that is durable, before its writer goes on; `failed()` for a group that
    is not. `on_wire()`: what may be on the wire, to be said again in a new file. `written_to`: the journal file that took the
    last group and is well, 0 after a failure. `coming`: messages that are being handed in at this moment, kept by who knows.
    """

    def __init__(
        self,
        log: WriteAhead,
        on_wire: Callable[[], tuple[str, ...]],
        taken_in: Callable[[Note, int], None],
        failed: Callable[[], None],
    ) -> None:
        self._log, self._on_wire, self._taken_in, self._failed = log, on_wire, taken_in, failed
        self._loop = asyncio.get_running_loop()
        self._threads = [Worker[int]("journal")]
        self._queue: list[_Batch] = []
        self._void: list[Note] = []
        self._under_way: deque[_Group] = deque()  # in the order in which they began
        self._begun = 0
        self._was_one = False  # the last group had no more than one batch
        self._submitting: asyncio.Handle | None = None
        self._pace = GroupPace()
        self._since = 0.0  # the first in the queue waits since then
        self.written_to = 0
        self.coming = 0

    def write(self, notes: Sequence[Note]) -> Written:
        """Done when the notes are durable, in this order; SpoolError or SpoolFull when they are not.

        Giving up the wait does not call the notes back.
        """
        written = Written(self._loop)
        if not notes:
            written.succeed(self._log.number)
            return written
        return self._enqueue(_Batch(notes, written))

    def turn(self) -> Written:
        """Begin a new journal file; its number."""
        return self._enqueue(_Batch((), Written(self._loop), turn=True))

    async def run(self, call: Callable[[], int]) -> int:
        """Another call on the journal's first thread, in its turn."""
        return await self._threads[0].run(call)

    @property
    def under_way(self) -> int:
        """Groups that are being written."""
        return len(self._under_way)

    async def close(self) -> None:
        """Nothing may be written any more; what was handed in is written before, though nobody may wait for it."""
        if self._queue:
            written = asyncio.Event()
            self._queue[-1].done.then(lambda _: written.set())
            await written.wait()
        for thread in self._threads:
            await thread.run(lambda: 0)  # whatever is under way on it has ended
        await self.run(self._log.close)
        for thread in self._threads:
            thread.close()

    def _enqueue(self, batch: _Batch) -> Written:
        if not self._queue:
            self._since = self._loop.time()
        self._queue.append(batch)
        if not self._under_way:
            self._reconsider()
        self._submit_soon()
        return batch.done

    def _reconsider(self) -> None:
        """Perhaps it need not wait so long any more."""
        if isinstance(self._submitting, asyncio.TimerHandle):
            self._submitting.cancel()
            self._submitting = None

    def _submit_soon(self) -> None:
        """After the callbacks that are ready now: what other clients hand in at this moment shares the flush."""
        if self._submitting is not None or not self._queue:
            return
        wait = self._pace.wait(len(self._under_way), self._loop.time(), len(self._queue), self._since, self.coming)
        if wait is not None and self._under_way:
            if self._queue[0].turn or self._under_way[-1].batches[0].turn:
                return  # a new file begins when all that goes into the old one is there
            if self._log.placed < self._begun:
                wait = max(wait, SHORT)
        if wait is None:
            return
        if wait > 0.0:
            self._submitting = self._loop.call_later(wait, self._submit)
        elif self._was_one and not self._under_way and len(self._queue) == 1:
            self._submit()  # clients come one at a time: nobody is likely to be ready beside this one
        else:
            self._submitting = self._loop.call_soon(self._submit)

    def _submit(self) -> None:
        self._submitting = None
        is_alone = not self._under_way
        if not is_alone and (self._log.placed < self._begun or self._queue[0].turn):
            self._submit_soon()
            return
        batches, octets = self._next_batches()
        is_turn = batches[0].turn
        if not is_alone and not self._log.has_room(octets):
            return  # a new file says again what is on the wire, and takes back what failed: when all that is known
        thread = self._free_thread()
        if thread is None:
            return  # until one has ended
        del self._queue[: len(batches)]
        void = self._void[:] if is_alone else []
        notes = [*void, *(note for batch in batches for note in batch.notes)]
        now = self._loop.time()
        group = _Group(batches, void, thread, now)
        on_wire = self._on_wire()
        if is_turn:
            call = partial(self._log.turn, on_wire, notes)
        else:
            call = partial(self._log.append, notes, on_wire, self._threads.index(thread), is_alone=is_alone)
        self._under_way.append(group)
        self._begun += 1
        self._was_one = len(batches) == 1
        self._pace.begins(now, len(batches), self._since, self.coming)
        self._since = now
        thread.submit(call, partial(self._answered, group))
        self._submit_soon()

    def _next_batches(self) -> tuple[list[_Batch], int]:
        """Those of the next group, and their octets; they stay in the queue."""
        batches: list[_Batch] = []
        octets = 0
        for batch in self._queue:
            if octets >= GROUP_OCTETS or (batch.turn and batches):
                break
            batches.append(batch)
            if batch.turn:
                break
            octets += sum(note.octets for note in batch.notes)
        return batches, octets

    def _free_thread(self) -> Worker[int] | None:
        """One that has no group; the others come into being where flushes are slow, and the system has threads to give."""
        busy = {id(group.thread) for group in self._under_way if not group.has_answer}
        for thread in self._threads:
            if id(thread) not in busy:
                return thread
        try:
            self._threads.append(Worker[int](f"journal-{len(self._threads)}"))
        except (RuntimeError, OSError):
            return None
        return self._threads[-1]

    def _answered(self, group: _Group, number: int | None, exc: BaseException | None) -> None:
        group.has_answer, group.number, group.error = True, number, exc
        self._pace.written(self._loop.time() - group.begun)
        self._reconsider()
        while self._under_way and self._under_way[0].has_answer:
            self._tell(self._under_way.popleft())
        self._submit_soon()

    def _tell(self, group: _Group) -> None:
        batches, number = group.batches, group.number
        if number is not None:
            self.written_to = number
            del self._void[: len(group.void)]
            for note in group.void:
                self._taken_in(note, number)
            for batch in batches:
                for note in batch.notes:
                    self._taken_in(note, number)
            for batch in batches:
                batch.done.succeed(number)
            return
        error = group.error if group.error is not None else SpoolError("the journal gave no answer")
        if isinstance(error, OSError):
            error = spool_error(error, "the journal cannot be written")
        for batch in batches:
            # Their clients are told that we do not have them; should they come back after a cut, this takes them away.
            self._void += [Note(Kind.ENDED, n.id) for n in batch.notes if n.kind in (Kind.ACCEPTED, Kind.LARGE)]
        self.written_to = 0
        self._failed()
        for batch in batches:
            batch.done.fail(error)
