"""Telling senders of failures and delays: gathered for a while, so that what one cause did to many messages is one report.

Where a failure is on its way, step by step (P2; each step says what a crash right after it leaves):

    outcome settled, recipient `untold`   the message stays in the queue; start finds it here again
    report committed                      the same, and a report in the queue: a second one will be made
    `untold` taken away                   nothing is left to tell; with nobody left to serve, the message has ended

A delay is noted in memory alone, and written down just before it is told: nothing has been lost, and what a crash forgets is
found late again at its next try or asking. What has an empty reverse-path itself is told to nobody (RFC 5321 4.5.5) and would
end unseen: it is set aside instead (CASES C25).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.dispatch.ends import will_retry_until
from gateway.dispatch.reports import Reporter, has_room
from gateway.errors import GatewayError, NoSuchItem, SpoolError
from gateway.events import Alarm, FailedTo, Journal
from gateway.report.dsn import Kind, may_report, status_code, wanted
from gateway.report.joint import Original, may_share
from gateway.spool.record import RecipientRecord, Record
from gateway.spool.spool import Spool

GATHER = 300.0
"""Seconds for which failures are gathered while mail is being sent; when none is, they are told at once."""

AT_ONCE = 1000
"""Messages whose records are in memory at one time while their reports are made."""

AGAIN = 30.0
"""Seconds until what the disk refused is tried again."""


@dataclass(slots=True)
class _Group:
    """Messages of one sender and one cause, with the places (in the record) of the recipients told of."""

    kind: Kind
    plan: str | None
    told: list[tuple[Record, list[int]]] = field(default_factory=list)

    def has_room(self, recipients: int) -> bool:
        return has_room([len(places) for _, places in self.told], recipients)

    @property
    def words(self) -> str:
        return "a message" if len(self.told) == 1 else f"{len(self.told)} messages"


class _Groups:
    def __init__(self) -> None:
        self._of: dict[tuple[object, ...], list[_Group]] = {}
        self.nobody: list[Record] = []  # late, and nobody wants to hear of it

    @property
    def all(self) -> list[_Group]:
        return [group for groups in self._of.values() for group in groups]

    def add(self, kind: Kind, record: Record, places: list[int], plan: str | None = None) -> None:
        """To the group of its sender and cause: the relay and the status code of what it said, or the plan."""
        first = record.recipients[places[0]]
        cause = (kind, record.reverse_path, first.relay, status_code(kind, first), plan)
        groups = self._of.setdefault(cause if may_share(record) else (*cause, record.id), [])
        if not groups or not groups[-1].has_room(len(places)):
            groups.append(_Group(kind, plan))
        groups[-1].told.append((record, places))


class Teller:
    """`note` and `note_late` say what there is to tell; `run` tells it. One task; all of it in the event loop."""

    def __init__(
        self,
        spool: Spool,
        reporter: Reporter,
        settings: Callable[[], Settings],
        clock: Clock,
        journal: Journal,
        late: Callable[[Record], str | None],
        is_idle: Callable[[], bool],
        on_told: Callable[[], None] = lambda: None,
    ) -> None:
        """`late(record)`: see Settler. `is_idle()`: nothing is being sent or could be, and nothing waits to be settled.
        `on_told()` follows each round, also a vain one."""
        self._spool, self._reporter, self._settings, self._clock = spool, reporter, settings, clock
        self._journal, self._late, self._is_idle, self._on_told = journal, late, is_idle, on_told
        self._untold: dict[str, None] = {}
        self._delayed: dict[str, None] = {}
        self._reported: dict[str, set[int]] = {}  # in a report, and not yet taken down in the record
        self._since = 0.0
        self._again_at: float | None = None
        self._changed = asyncio.Event()
        self._telling = False
        self._closing = False
        self._complaint = ""

    @property
    def is_about_to_tell(self) -> bool:
        """New mail is about to appear: not the moment to put a line down."""
        return self._telling or (bool(self._untold or self._delayed) and self._again_at is None)

    def note(self, item: str) -> None:
        """A recipient of this message is `untold`, durably; or nobody is left to serve."""
        self._note(self._untold, item)

    def note_late(self, item: str) -> None:
        """This message is later than its plan, and its sender does not know."""
        self._note(self._delayed, item)

    def _note(self, where: dict[str, None], item: str) -> None:
        if not self._untold and not self._delayed:
            self._since = self._clock.monotonic()
        where[item] = None
        self._changed.set()

    def note_all(self) -> None:
        """At start: what the last life left untold."""
        for entry in self._spool.entries.values():
            if entry.untold or not (entry.outside or entry.inside):
                self.note(entry.id)

    def look(self) -> None:
        """A session has ended, or something was settled."""
        if self._untold or self._delayed:
            self._changed.set()

    async def run(self) -> None:
        """Until `close`."""
        while not self._closing:
            wait = self._seconds_left()
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)
                self._changed.clear()
                continue
            await self._tell()
        while self._seconds_left() is not None:
            await self._tell()
            if self._again_at is not None:
                break  # the disk refuses

    async def close(self, running: asyncio.Task[None]) -> None:
        """Tell what there is, without waiting for more; what the disk refuses is told by the next start."""
        self._closing = True
        self._changed.set()
        await running

    def _seconds_left(self) -> float | None:
        if not self._untold and not self._delayed:
            return None
        now = self._clock.monotonic()
        if self._again_at is not None:
            return self._again_at - now
        return 0.0 if self._is_idle() else self._since + GATHER - now

    async def _tell(self) -> None:
        """One round. What is noted meanwhile is the next round's."""
        untold, self._untold = _first(self._untold)
        delayed, self._delayed = _first(self._delayed)
        groups = _Groups()
        left: set[str] = set()
        self._telling = True
        try:
            for item in delayed:
                await self._gather_late(item, groups)
            if groups.nobody:
                await self._mark_late(groups.nobody)
            for item in untold:
                if not await self._gather(item, groups):
                    left.add(item)
            for group in groups.all:
                if not await (self._tell_failed(group) if group.kind == "failed" else self._tell_late(group)):
                    left.update(record.id for record, _ in group.told)
        except Exception as exc:  # top of the worker: nothing of this round is lost, it is all in the records
            self._journal.record(Alarm("reports", f"a fault of the gateway: {type(exc).__name__}: {exc}"))
            left.update(untold)
        finally:
            self._telling = False
        self._untold.update((item, None) for item in untold if item in left)
        self._since = self._clock.monotonic()
        self._again_at = self._since + AGAIN if left else None
        if not left:
            self._complaint = ""
        self._on_told()

    # -- who is told together ------------------------------------------------------------------------------------

    async def _gather(self, item: str, groups: _Groups) -> bool:
        """False: the disk refused something, and it is to be tried again."""
        record = await self._record(item)
        if record is None:
            return True
        places = [n for n, r in enumerate(record.recipients) if r.untold and n not in self._reported.get(item, ())]
        if not places:
            return await self._take_down([record.id])
        if may_report(record):
            groups.add("failed", record, places)
            return True
        return await self._set_aside(record) if not record.pending else True

    async def _gather_late(self, item: str, groups: _Groups) -> None:
        record = await self._record(item)
        plan = self._late(record) if record is not None else None
        if record is None or plan is None:
            return  # it left in the meantime
        is_inside = not record.pending_on("outside")  # with some of both it was decided over those outside
        waiting = [
            n
            for n, r in enumerate(record.recipients)
            if r.standing == "pending" and r.inside == is_inside and wanted("delayed", r, record)
        ]
        if waiting:
            groups.add("delayed", record, waiting, plan)
        else:
            groups.nobody.append(record)

    async def _record(self, item: str) -> Record | None:
        if item not in self._spool.entries:
            return None
        try:
            return await self._spool.record(item)
        except NoSuchItem:
            return None
        except GatewayError as exc:  # damaged: the next start sets it aside
            self._complain(f"{item} failed, and its record cannot be read: {exc}")
            return None

    # -- telling -------------------------------------------------------------------------------------------------

    async def _tell_failed(self, group: _Group) -> bool:
        """False: the disk refused something, and it is to be tried again."""
        try:
            originals = await self._originals(group)
            report = await self._reporter.commit("failed", originals)
        except GatewayError as exc:
            self._complain(f"the report about {group.words} of one sender cannot be written: {exc}")
            return False
        for record, places in group.told:
            self._reported.setdefault(record.id, set()).update(places)
            for recipient in _at(record, places):
                reason = recipient.reply or ""
                self._journal.record(FailedTo(record.id, recipient.address, recipient.relay, reason, report))
        return await self._take_down([record.id for record, _ in group.told])

    async def _tell_late(self, group: _Group) -> bool:
        """Once at most: a report of delay that cannot be stored is not worth a second one (always True)."""
        still = await self._mark_late([record for record, _ in group.told])
        group.told = [(record, places) for record, places in group.told if record.id in still]
        if group.told:
            with contextlib.suppress(GatewayError):
                await self._reporter.commit("delayed", await self._originals(group), group.plan)
        return True

    async def _mark_late(self, records: Sequence[Record]) -> set[str]:
        """IDs of those that are marked: none where the disk refuses; it is found late again at its next asking."""
        now = self._clock.now()

        def change(record: Record) -> None:
            record.warned = now

        try:
            return set(await self._spool.update([record.id for record in records], change))
        except GatewayError:
            return set()

    async def _originals(self, group: _Group) -> list[Original]:
        originals = []
        for record, places in group.told:
            until = None
            if group.kind == "delayed":
                until = will_retry_until(record, self._clock.now(), self._settings().queue)
            is_alone = len(group.told) == 1
            originals.append(await self._reporter.original(record, _at(record, places), is_alone=is_alone, until=until))
        return originals

    async def _take_down(self, ids: Sequence[str]) -> bool:
        """It is in a report: the records say so, and what has nobody left to serve has ended."""
        told = {item: self._reported.get(item, set()) for item in ids}

        def change(record: Record) -> None:
            for place in told[record.id]:
                record.recipients[place].untold = False

        try:
            await self._spool.update(ids, change)
        except SpoolError as exc:
            self._complain(f"that a report was made is not on disk yet: {exc}")
            return False
        for item in ids:
            self._reported.pop(item, None)
        return True

    async def _set_aside(self, record: Record) -> bool:
        """As if it had not been sent, and held: put back by hand, it waits for its release."""
        failed = [(r.address, r.relay, r.reply or "") for r in record.untold]
        why = f"it failed, and has no sender who could be told: {failed[0][2]}"

        def change(record: Record) -> None:
            record.held, record.hold_note = True, why
            for recipient in record.untold:
                recipient.standing, recipient.untold = "pending", False

        try:
            await self._spool.update([record.id], change)
            await self._spool.lay_aside(record.id, why)
        except SpoolError as exc:
            self._complain(f"{record.id} cannot be set aside: {exc}")
            return False
        except GatewayError:
            return True  # an operator is removing it
        for address, relay, reason in failed:
            self._journal.record(FailedTo(record.id, address, relay, reason))
        return True

    def _complain(self, what: str) -> None:
        """Once, not every half minute."""
        if what != self._complaint:
            self._complaint = what
            self._journal.record(Alarm("reports", what))


def _at(record: Record, places: Sequence[int]) -> list[RecipientRecord]:
    return [record.recipients[place] for place in places]


def _first(noted: dict[str, None]) -> tuple[list[str], dict[str, None]]:
    """The oldest of them, for this round, and the rest. IDs of one spool sort by age."""
    oldest = nsmallest(AT_ONCE, noted)
    for item in oldest:
        del noted[item]
    return oldest, noted
