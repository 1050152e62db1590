"""Notes on their way into the journal, in groups: one append and one flush serve all who hand theirs in meanwhile.

The journal is written on a thread of its own, since its flush must not wait for anything else; all state here belongs to the
event loop. What a note means, and what follows from it, is `gateway.spool.ledger`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.errors import SpoolError
from gateway.spool.diskerror import spool_error
from gateway.spool.grouppace import GroupPace
from gateway.spool.worker import Worker
from gateway.spool.writeahead import GROUP_OCTETS, Kind, Note, WriteAhead


@dataclass(slots=True)
class _Batch:
    """Notes that wait for their group; `turn`: none, but a new journal file is wanted (its number is the result)."""

    notes: Sequence[Note]
    done: asyncio.Future[int]
    turn: bool = False


class Groups:
    """`taken_in(note, number)` is called for each note that is durable, before its writer goes on; `failed()` for a group that
    is not. `on_wire()`: what may be on the wire, to be said again in a new file. `written_to`: the journal file that took the
    last group and is well, 0 after a failure.
    """

    def __init__(
        self,
        log: WriteAhead,
        on_wire: Callable[[], tuple[str, ...]],
        taken_in: Callable[[Note, int], None],
        failed: Callable[[], None],
    ) -> None:
        self._log, self._on_wire, self._taken_in, self._failed = log, on_wire, taken_in, failed
        self._thread = Worker[int]("journal")
        self._queue: list[_Batch] = []
        self._void: list[Note] = []
        self._busy = self._submitting = False
        self._gathering: asyncio.TimerHandle | None = None
        self._pace = GroupPace()
        self._submitted = 0.0
        self.written_to = 0

    def write(self, notes: Sequence[Note]) -> asyncio.Future[int]:
        """Done when the notes are durable, in this order; SpoolError or SpoolFull when they are not.

        Giving up the wait does not call the notes back.
        """
        batch = _Batch(notes, asyncio.get_running_loop().create_future())
        if not notes:
            batch.done.set_result(self._log.number)
            return batch.done
        return self._enqueue(batch)

    def turn(self) -> asyncio.Future[int]:
        """Begin a new journal file; its number."""
        return self._enqueue(_Batch((), asyncio.get_running_loop().create_future(), turn=True))

    async def run(self, call: Callable[[], int]) -> int:
        """Another call on the journal's thread, in its turn."""
        return await self._thread.run(call)

    @property
    def is_gathering(self) -> bool:
        """Does a group wait for those who were there the last time?"""
        return self._gathering is not None

    async def close(self) -> None:
        """Nothing may be written any more."""
        await self._thread.run(self._log.close)
        self._thread.close()

    def _enqueue(self, batch: _Batch) -> asyncio.Future[int]:
        self._queue.append(batch)
        self._submit_soon()
        return batch.done

    def _submit_soon(self) -> None:
        """After the callbacks that are ready now: what other clients hand in at this moment shares the flush."""
        if self._busy or self._submitting or not self._queue:
            return
        commits = _commits(self._queue)
        is_only_commits = commits == len(self._queue)
        if self._gathering is not None:
            if is_only_commits and not self._pace.is_complete(commits):
                return
            self._gathering.cancel()
            self._gathered()
        elif is_only_commits and (wait := self._pace.wait(commits)):
            self._gathering = asyncio.get_running_loop().call_later(wait, self._gathered)
        else:
            self._submitting = True
            asyncio.get_running_loop().call_soon(self._submit)

    def _gathered(self) -> None:
        self._gathering = None
        self._submitting = True
        asyncio.get_running_loop().call_soon(self._submit)

    def _submit(self) -> None:
        self._submitting = False
        group: list[_Batch] = []
        notes, octets = list(self._void), 0
        while self._queue and octets < GROUP_OCTETS:
            if self._queue[0].turn and group:
                break
            batch = self._queue.pop(0)
            group.append(batch)
            if batch.turn:
                break
            notes += batch.notes
            octets += sum(note.octets for note in batch.notes)
        if not group:
            return
        on_wire = self._on_wire()
        call = partial(self._log.turn, on_wire) if group[0].turn else partial(self._log.append, notes, on_wire)
        self._busy = True
        self._submitted = asyncio.get_running_loop().time()
        self._thread.submit(call, partial(self._written, group, 0 if group[0].turn else len(self._void)))

    def _written(self, group: list[_Batch], voided: int, number: int | None, exc: BaseException | None) -> None:
        self._busy = False
        seconds = asyncio.get_running_loop().time() - self._submitted
        self._pace.written(seconds, _commits(group), _commits(self._queue))
        if number is not None:
            self.written_to = number
            del self._void[:voided]
            for batch in group:
                for note in batch.notes:
                    self._taken_in(note, number)
                if not batch.done.done():
                    batch.done.set_result(number)
        else:
            error = exc if exc is not None else SpoolError("the journal gave no answer")
            if isinstance(exc, OSError):
                error = spool_error(exc, "the journal cannot be written")
            for batch in group:
                # Their clients are told that we do not have them; should they come back after a cut, this takes them away.
                self._void += [Note(Kind.ENDED, n.id) for n in batch.notes if n.kind in (Kind.ACCEPTED, Kind.LARGE)]
                if not batch.done.done():
                    batch.done.set_exception(error)
            self.written_to = 0
            self._failed()
        self._submit_soon()


def _commits(batches: Iterable[_Batch]) -> int:
    """How many of them make a message ours: their clients wait, and will come again."""
    return sum(len(batch.notes) == 1 and batch.notes[0].kind in (Kind.ACCEPTED, Kind.LARGE) for batch in batches)
