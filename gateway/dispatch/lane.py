"""A lane: one relay over one link, with what may leave through it now. It feeds the courier's session (`courier.Feed`)."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.config.settings import RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Phase, SessionEnd, Shipment
from gateway.dispatch.conversations import Conversation, Conversations
from gateway.dispatch.facts import Go
from gateway.dispatch.order import Key
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import Settlement, Settler
from gateway.errors import GatewayError, NoSuchItem, NotNow
from gateway.events import Alarm, Attempt, Journal
from gateway.mail.envelope import Envelope, Recipient
from gateway.mail.outcome import Deferred, Delivered, Interrupted, Outcome, Unconfirmed
from gateway.spool.record import Record, Route
from gateway.spool.spool import Claim, Spool

MOST_UNSETTLED = 64
"""Never more messages than this are sent or being sent and not yet settled (DESIGN section 7)."""


@dataclass(slots=True)
class Sending:
    """A row of the view of what is being sent now."""

    id: str
    size: int
    reverse_path: str
    to: tuple[str, ...]
    relay: str
    link: str
    since: float
    phase: str = "waiting"
    octets: int = 0


@dataclass(slots=True)
class SessionRecord:
    """One real use of the link, for `status` and the console. Octets on the line, with headers and what was sent again."""

    link: str
    relay: str
    started: float
    window: str | None
    ended: float | None = None
    sent: int = 0
    octets_out: int = 0
    octets_in: int = 0
    why: str = ""
    money: float | None = None
    end: str | None = None  # SessionEnd.why


@dataclass(slots=True)
class Lane:
    """What waits for one relay over one link, in order, and the session that takes it away."""

    link: str
    relay: RelaySettings
    heap: list[tuple[Key, str]] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[SessionEnd]] = field(default_factory=set)
    alone_until: float = 0.0  # a further session was refused: one at a time until then (monotonic)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False
    route: Route = "outside"
    loop: str | None = None  # what it sent came straight back to us: a sentence

    def offer(self, key: Key, item: str) -> None:
        if item not in self.offered:
            self.offered.add(item)
            heapq.heappush(self.heap, (key, item))
            self.more.set()

    def pop(self) -> str | None:
        if not self.heap:
            return None
        _, item = heapq.heappop(self.heap)
        self.offered.discard(item)
        return item

    def cut_off(self) -> None:
        """Its grace is over: end its sessions, whatever they are doing."""
        for task in self.tasks:
            if not task.done():
                self.cut = True
                task.cancel()

    @property
    def first_is_urgent(self) -> bool:
        """The next to leave is of class urgent (the first figure of its key)."""
        return bool(self.heap) and self.heap[0][0][0] == 0

    def clear(self) -> None:
        self.heap.clear()
        self.offered.clear()


class LaneFeed:
    """The courier's side of a lane. `recheck(id)` asks the decision again at the moment of taking."""

    def __init__(
        self,
        lane: Lane,
        spool: Spool,
        settler: Settler,
        clock: Clock,
        journal: Journal,
        recheck: Callable[[str], Go | None],
        linger: Callable[[], float],
        opportunity: Callable[[Go], Opportunity],
        sending: dict[str, Sending],
        record: SessionRecord,
        succeeded: Callable[[], None],
        broken: Callable[[str], str | None],
        charge: Callable[[int, Go], None],
        conversations: Conversations | None = None,
    ) -> None:
        """`charge(size, go)`: so much is about to be sent this way.

        `succeeded()`: a message was delivered. `broken(id)`: the line broke in this one; what to say if it often does."""
        self._succeeded, self._broken, self._charge = succeeded, broken, charge
        self._lane, self._spool, self._settler = lane, spool, settler
        self._clock, self._journal, self._recheck = clock, journal, recheck
        self._linger, self._opportunity = linger, opportunity
        self._sending, self.record = sending, record
        self._conversations = conversations
        self._taken: dict[str, tuple[Claim, Go]] = {}
        self._wired: set[str] = set()
        self._relay_reports = False
        self.interrupted = False
        self.taken = 0
        self.put_off: set[str] = set()  # came back without the relay having answered MAIL for its own sake
        self.idle = 0.0  # seconds spent waiting for mail, not sending it

    async def take(self, offers: Capabilities) -> Shipment | None:
        """The next message that may leave at this moment, claimed; None when there is none (after a short linger)."""
        self._relay_reports = offers.dsn
        while not self._lane.stop.is_set():
            await self._settler.room_for_one(MOST_UNSETTLED)
            item = self._lane.pop()
            if item is None:
                if not await self._more():
                    return None
                continue
            go = self._recheck(item)
            if go is None:
                continue
            shipment = await self._claim(item, go)
            if shipment is not None:
                return shipment
        return None

    async def _more(self) -> bool:
        """Wait a moment for further mail while the line costs nothing; True if there is some."""
        self._lane.more.clear()
        if self._lane.heap:
            return True
        seconds = self._linger()
        if seconds <= 0:
            return False
        waits: list[Awaitable[object]] = [self._lane.more.wait(), self._lane.stop.wait()]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        since = self._clock.monotonic()
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.idle += self._clock.monotonic() - since
            for task in tasks:
                task.cancel()
        return bool(self._lane.heap) and not self._lane.stop.is_set()

    async def _claim(self, item: str, go: Go) -> Shipment | None:
        claiming = asyncio.ensure_future(self._spool.claim(item))
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._unwanted)  # a cancelled take has taken nothing
            raise
        except (NoSuchItem, NotNow):
            return None  # removed, or being removed, in the meantime
        except GatewayError as exc:
            self._journal.record(Alarm("spool", f"{item} cannot be read: {exc}"))
            return None
        record = claim.record
        self._taken[item] = (claim, go)
        self.taken += 1
        self._settler.unsettled += 1
        self._charge(record.size, go)
        to = tuple(recipient.address for recipient in record.pending_on(go.route))
        self._sending[item] = Sending(
            item, record.size, record.reverse_path, to, self._lane.relay.name, self._lane.link, self._clock.now()
        )
        self._journal.record(Attempt(item, self._lane.relay.name, record.tries + 1))
        return Shipment(item, _envelope(record, go.route), claim.content, record.tries + 1)

    def _unwanted(self, claiming: asyncio.Future[Claim]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            self._spool.give_back(claiming.result())

    async def on_wire(self, ids: Sequence[str]) -> None:
        await self._spool.mark_on_wire(ids)
        self._wired.update(ids)

    async def settle(self, id: str, outcomes: Sequence[Outcome]) -> None:
        claim, go = self._taken.pop(id)
        row = self._sending.pop(id, None)
        self._wired.discard(id)
        if any(isinstance(outcome, Interrupted) for outcome in outcomes):
            self.interrupted = True
            if row is not None and row.octets > 0 and not self._lane.stop.is_set():
                often = self._broken(id)
                outcomes = [Interrupted(often) if often and isinstance(o, Interrupted) else o for o in outcomes]
        if any(isinstance(outcome, Deferred) and not outcome.is_real for outcome in outcomes):
            self.put_off.add(id)
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            self.record.sent += 1
            self._succeeded()
        settled = Settlement(
            claim, tuple(outcomes), self._lane.relay.name, self._opportunity(go), go.route, self._relay_reports
        )
        self._settler.put(settled)

    def heard(self, id: str, lines: tuple[str, ...]) -> None:
        """What was said about a message that did not go well."""
        if self._conversations is not None:
            self._conversations.note(id, Conversation(self._clock.now(), self._lane.relay.name, lines))

    def progress(self, id: str, phase: Phase, octets: int) -> None:
        row = self._sending.get(id)
        if row is not None:
            row.phase, row.octets = phase, octets

    def abandon(self) -> None:
        """The session is over. What it took and did not settle (a fault of ours) is in doubt if it may be on the wire."""
        for item in tuple(self._taken):
            claim, go = self._taken.pop(item)
            self._sending.pop(item, None)
            if item in self._wired:
                pending = claim.record.pending_on(go.route)
                doubt = tuple(Unconfirmed("the session ended by a fault of ours") for _ in pending)
                self._settler.put(Settlement(claim, doubt, self._lane.relay.name, self._opportunity(go), go.route))
            else:
                self._settler.unsettled -= 1
                self._spool.give_back(claim)


def _envelope(record: Record, route: Route) -> Envelope:
    recipients = tuple(Recipient(r.address, r.notify, r.orcpt) for r in record.pending_on(route))
    return Envelope(record.reverse_path, recipients, record.body, record.smtputf8, record.ret, record.envid)
