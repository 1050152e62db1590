"""The spool: mail from the moment it is ours to the moment it has ended. The only package that writes below SPOOL.

`Spool` is what the other parts see: it puts the parts together and says what each call promises. What is durable when:
`gateway.spool.ledger`; how it starts: `gateway.spool.starting`, and what that makes of what it finds: `gateway.spool.recovery`;
accepting, sending and removing have modules of their names. When a message is tried and what becomes of it is
`gateway.dispatch`'s business. All methods belong to the event loop; the disk is touched on threads only, but for a stat of
the file system and at start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.durable import Disk
from gateway.errors import GatewayError, NoSuchItem, SpoolError
from gateway.events import Journal
from gateway.mail.envelope import Class, Envelope, Peer
from gateway.spool.accepting import Accepting
from gateway.spool.claims import Claim, Claims
from gateway.spool.content import Content
from gateway.spool.draft import Draft
from gateway.spool.entry import Entry
from gateway.spool.layout import Layout, checked_id, split_name
from gateway.spool.ledger import Pace
from gateway.spool.record import Record, decode_record, encode_record
from gateway.spool.records import Records
from gateway.spool.removing import Removing
from gateway.spool.room import Room
from gateway.spool.sending import UPDATE_AT_ONCE, Sending
from gateway.spool.starting import Started, start, take_up
from gateway.spool.states import States
from gateway.spool.tasks import Tasks
from gateway.spool.writeahead import FILE_OCTETS

__all__ = ["Claim", "Content", "Draft", "Entry", "Spool"]


class Spool:
    """See the module. Made by `open`, ended by `close`."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        started: Started,
        *,
        clock: Clock,
        journal: Journal,
        room: Room,
        pace: Pace,
        is_inside: Callable[[str], bool],
    ) -> None:
        found, ledger = started.found, started.ledger
        self._layout, self._spool_lock, self._ledger, self._room = layout, started.lock, ledger, room
        self._entries, self._ids = found.entries, found.ids
        self._records = records = Records(disk, layout, ledger)
        self._claims = claims = Claims()
        self._tasks = tasks = Tasks()
        self._listeners: list[Callable[[str], None]] = []
        changing = asyncio.Lock()  # read, change, hand to the journal: one at a time, so that no change is lost
        leaving: set[str] = set()
        self._accepting = Accepting(
            disk,
            layout,
            ledger,
            records,
            found.ids,
            room,
            tasks,
            clock=clock,
            journal=journal,
            appeared=self._appeared,
            is_inside=is_inside,
        )
        self._sending = Sending(
            disk,
            layout,
            ledger,
            records,
            found.entries,
            claims,
            leaving,
            changing,
            tasks,
            journal=journal,
            notify=self._notify,
            retry=pace.retry,
        )
        self._removing = Removing(
            found.entries, records, claims, ledger, found.removed, changing, clock, leaving, self._notify
        )
        self._states = States(disk, layout.state, ledger, journal)
        self.in_doubt_at_start = tuple(found.in_doubt)

    # -- life ----------------------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        root: Path,
        *,
        clock: Clock,
        journal: Journal,
        reserve: float | int,
        durable: Disk | None = None,
        pace: Pace | None = None,
        journal_octets: int = FILE_OCTETS,
        is_inside: Callable[[str], bool] = lambda address: False,
    ) -> Spool:
        """Lock the spool, make what is missing of it (0700), and take up what it holds, whatever happened before.

        `reserve`: octets, or as a float a share of the disk. `is_inside(address)`: is this recipient's mail for `inside`? It is
        asked once, when a message is accepted. Raises SpoolLocked, or SpoolError where it cannot be read or
        made. A full disk is no obstacle.
        """
        disk, layout = durable if durable is not None else Disk(), Layout(root)
        pace = pace if pace is not None else Pace()
        started = await start(disk, layout, clock=clock, journal=journal, pace=pace, journal_octets=journal_octets)
        spool = cls(
            disk,
            layout,
            started,
            clock=clock,
            journal=journal,
            room=Room(disk, layout.root, reserve, clock),
            pace=pace,
            is_inside=is_inside,
        )
        try:
            started.ledger.live = spool._live
            await take_up(started.found, started.ledger, spool._records, journal)
        except BaseException:
            await spool.close()
            raise
        return spool

    async def close(self) -> None:
        """Write what is still to be written, empty the journal, unlock. Open drafts are lost, as their clients know."""
        if self._tasks.closing.is_set():
            return
        await self._tasks.close()
        with contextlib.suppress(SpoolError):
            await self._sending.save()
        await self._ledger.close()
        self._spool_lock.release()

    @property
    def is_at_files(self) -> bool:
        """Does somebody wait for a thread that is at the files? It gets on only while the event loop rests."""
        return self._ledger.visits > 0

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What waits or is being sent, by ID."""
        return self._entries

    def room(self) -> tuple[int, int]:
        """(free octets, octets of the reserve)."""
        return self._room.now()

    def set_aside_count(self) -> int:
        """How many files lie in `set-aside/` for a person to look at."""
        try:
            return len(os.listdir(self._layout.set_aside))
        except OSError:
            return 0

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Called in the loop with the ID when a message appears, changes or goes; call what is returned to stop."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _notify(self, item: str) -> None:
        for listener in tuple(self._listeners):
            listener(item)

    def _appeared(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._notify(entry.id)

    def _live(self) -> tuple[list[str], int]:
        """Every ID that has not ended, and the counter below which all others have."""
        aside = {
            split[0] for name in os.listdir(self._layout.set_aside) if (split := split_name(name[:20])) is not None
        }
        live = [*self._entries, *self._removing.items, *self._accepting.drafts.open, *aside]
        return live, self._ids.next

    # -- accepting -----------------------------------------------------------------------------------------------------

    def draft(self, heads: Sequence[Callable[[str], bytes]]) -> Draft:
        """Begin a message. `heads`: alternatives for what stands on top (Received), made from the new ID, of equal length.

        Raises SpoolFull below the reserve and while the disk does not take what is accepted already; SpoolError where no ID
        can be given.
        """
        return self._accepting.draft(heads)

    async def commit(
        self,
        draft: Draft,
        envelope: Envelope,
        *,
        message_class: Class,
        peer: Peer,
        service: str = "smtp",
        head: int = 0,
        report_for: str | None = None,
        meanwhile: Callable[[Entry], None] | None = None,
    ) -> Entry:
        """Make the message ours; when this returns, the client may have its 250 (P1). The pair follows within a second.

        `meanwhile(entry)` is called while the disk works: the entry as it will be, if the commit succeeds.
        Cancelling the caller does not cancel the commit. On SpoolFull or SpoolError nothing is stored, and the draft is over.
        """
        return await self._accepting.commit(
            draft,
            envelope,
            message_class=message_class,
            peer=peer,
            service=service,
            head=head,
            report_for=report_for,
            meanwhile=meanwhile,
        )

    # -- sending -------------------------------------------------------------------------------------------------------

    async def claim(self, id: str) -> Claim:
        """Take hold of a message for an attempt: its record is ours to change, its content is what was accepted (P5).

        NoSuchItem; NotNow if it is claimed, is being removed, or the disk owes too many outcomes; SpoolError if it cannot be
        read; ContentDamaged if it is not what was accepted: then it has been set aside, with an alarm.
        """
        claim = (await self.claim_some([id]))[0]
        if isinstance(claim, GatewayError):
            raise claim
        return claim

    async def claim_some(self, ids: Sequence[str]) -> list[Claim | GatewayError]:
        """As `claim` for each of these different messages, in their order; what `claim` raises stands in the place of its
        claim. Small ones cost one visit to the disk together. Cancelled, it has claimed nothing."""
        return await self._sending.claim(ids)

    def give_back(self, claim: Claim) -> None:
        """Nothing happened to it; the record on disk stands, and changes to the living copy are forgotten."""
        self._sending.give_back(claim)

    async def mark_on_wire(self, ids: Sequence[str]) -> None:
        """Say that these may be on the wire from now on; one flush a call. A start after a cut shows them in doubt.

        Where the journal cannot be written the sending goes on without (P10): a cut then costs what it always may, one more
        copy, and is not shown as a doubt. The outcomes that the disk owes bound how long.
        """
        await self._sending.mark_on_wire(ids)

    async def settle(self, claims: Sequence[Claim]) -> None:
        """Write what became of them and give the claims back: one group of flushes, shared by concurrent calls.

        While a recipient is pending, or a failure is told to nobody (`untold`), the record is rewritten; else the message has
        ended, for good (P4): its files go after its end is durable. On SpoolError the outcomes are kept and written when the
        disk allows; until then these messages stay claimed (P3).
        """
        await asyncio.shield(self._tasks.start(self._sending.settle(claims)))

    async def lay_aside(self, id: str, reason: str) -> None:
        """Move a message that can neither leave nor be reported to set-aside/, durably, with an event and an alarm.

        NoSuchItem; NotNow while it is being sent or removed. Where the disk will not, it stays, claimed, with an alarm.
        """
        await asyncio.shield(self._tasks.start(self._sending.lay_aside(id, reason)))

    # -- changing and reading ------------------------------------------------------------------------------------------

    async def update(self, ids: Sequence[str], change: Callable[[Record], None]) -> list[str]:
        """Change records durably, also of messages that are being sent; the IDs of those that were there.

        `change` must give the same whenever it is called: of a claimed message it changes the living copy and the stored one.
        One that has nobody left to serve and nothing to tell, and that nobody has claimed, has ended by it.
        """
        changed: list[str] = []
        for at in range(0, len(ids), UPDATE_AT_ONCE):
            changed += await asyncio.shield(
                self._tasks.start(self._sending.update(ids[at : at + UPDATE_AT_ONCE], change))
            )
        return changed

    async def record(self, id: str) -> Record:
        """A copy of the record, also of a removed message. NoSuchItem; ContentDamaged if it cannot be understood."""
        claim = self._claims.held.get(id)
        if claim is not None:
            return decode_record(encode_record(claim.record))
        return await self._records.load_record(checked_id(id), removed=self._is_removed(id))

    async def records(self, ids: Sequence[str]) -> list[Record | None]:
        """Copies of the records of these, in one visit to the disk; None for one that is gone or cannot be read."""
        found = await self._records.load_records(ids)
        for number, item in enumerate(ids):
            claim = self._claims.held.get(item)
            if claim is not None:
                found[number] = decode_record(encode_record(claim.record))
        return found

    async def content(self, id: str) -> Content:
        """The content for looking at, also of a removed message; it is not compared with its hash. The caller closes it."""
        record = await self.record(id)
        return await self._records.content(record, verify=False)

    def _is_removed(self, item: str) -> bool:
        if item in self._entries:
            return False
        if item in self._removing.items:
            return True
        raise NoSuchItem(f"{checked_id(item)}: no such message")

    # -- removing ------------------------------------------------------------------------------------------------------

    async def remove(self, ids: Sequence[str], *, by: str, tell_sender: bool = False) -> dict[str, str]:
        """Move messages to removed/, durably: what became of each, "removed", "delivered", "ended" or "unknown".

        One that is being sent finishes its attempt first. All of one call are one removal for `undo`.
        """
        outcome = await asyncio.shield(self._tasks.start(self._removing.remove(ids, by=by, tell_sender=tell_sender)))
        for item, what in outcome.items():
            counter = self._ids.counter(item)
            if what == "unknown" and counter is not None and counter < self._ids.next:
                outcome[item] = "ended"
        return outcome

    async def undo(self) -> list[str]:
        """Bring the last removal back that is not final; the IDs. NotNow if there is none."""
        return await asyncio.shield(self._tasks.start(self._removing.undo()))

    async def removed(self) -> list[Record]:
        """The records of what lies in removed/."""
        return await self._removing.records()

    async def finish_removals(self, ids: Iterable[str]) -> None:
        """End these for good: durable when it returns, then their files go."""
        await asyncio.shield(self._tasks.start(self._removing.finish(ids)))

    # -- state of other parts ------------------------------------------------------------------------------------------

    async def save_state(self, name: str, octets: bytes) -> None:
        """Put SPOOL/state/NAME in one step, durable when it returns. A cut leaves the old or the new one. SpoolError."""
        await self._states.save(name, octets)

    def load_state(self, name: str) -> bytes | None:
        """What was saved last; None where nothing was, or where it cannot be read (with an alarm)."""
        return self._states.load(name)
