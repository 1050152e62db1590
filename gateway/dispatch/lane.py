"""A lane: one relay over one link, with what may leave through it now. It feeds the courier's session (`courier.Feed`)."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.config.settings import RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Phase, SessionEnd, Shipment
from gateway.dispatch.conversations import Conversation, Conversations
from gateway.dispatch.deadlines import time_left
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

MOST_AHEAD = 32
AHEAD_OCTETS = 256 * 1024
AT_ONCE = 0.05
STALE = 1.0
"""How far a session claims ahead: what it took in less than AT_ONCE seconds twice over, at most so many messages and octets, so
that a fast relay is not kept waiting by a visit to the disk for each, and a thin line claims nothing before its turn. What it
has not come round to after STALE seconds is decided over anew."""

MOST_ASKED = 100
"""Messages asked at once whether they may still go, where those before them may not: a used-up budget keeps thousands."""

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
    """One real use of the link, for `status` and the console. Octets on the line, with headers and what was sent again; `dials`
    are the calls since the session before it."""

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
    dials: int = 0


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
    generation: int = 0  # of what may go
    route: Route = "outside"
    loop: str | None = None  # what it sent came straight back to us: a sentence

    def offer(self, key: Key, item: str) -> None:
        if item not in self.offered:
            self.offered.add(item)
            heapq.heappush(self.heap, (key, item))
            self.more.set()

    def pop(self, most: int) -> list[tuple[Key, str]]:
        """The next so many, in order."""
        popped = [heapq.heappop(self.heap) for _ in range(min(most, len(self.heap)))]
        self.offered.difference_update(item for _, item in popped)
        return popped

    def cut_off(self) -> None:
        """Its grace is over: end its sessions, whatever they are doing."""
        for task in self.tasks:
            if not task.done():
                self.cut = True
                task.cancel()

    @property
    def first(self) -> Key:
        """The key of the next to leave; only where there is one."""
        return self.heap[0][0]

    @property
    def first_is_urgent(self) -> bool:
        """The next to leave is of class urgent (the first figure of its key)."""
        return bool(self.heap) and self.heap[0][0][0] == 0

    def clear(self) -> None:
        """Forget what may go; it is asked again."""
        self.generation += 1
        self.heap.clear()
        self.offered.clear()


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A message claimed ahead, and where it stood in its lane."""

    key: Key
    claim: Claim
    go: Go
    generation: int


class LaneFeed:
    """The courier's side of a lane. `recheck(ids)` asks the decision again at the moment of taking: those that may go
    this way, in order."""

    def __init__(
        self,
        lane: Lane,
        spool: Spool,
        settler: Settler,
        clock: Clock,
        journal: Journal,
        recheck: Callable[[Sequence[str]], dict[str, Go]],
        linger: Callable[[], float],
        opportunity: Callable[[Go], Opportunity],
        sending: dict[str, Sending],
        record: SessionRecord,
        succeeded: Callable[[], None],
        broken: Callable[[str], str | None],
        charge: Callable[[int, Go], None],
        conversations: Conversations | None = None,
        most_ahead: int = MOST_AHEAD,
        unreadable: Callable[[str], None] = lambda item: None,
    ) -> None:
        """`charge(size, go)`: so much is about to be sent this way. `most_ahead`: 1 where a budget has to be asked each time.

        `succeeded()`: a message was delivered. `broken(id)`: the line broke in this one; what to say if it often does.
        `unreadable(id)`: the disk does not give this one out; it is not in the lane any more."""
        self._succeeded, self._broken, self._charge = succeeded, broken, charge
        self._lane, self._spool, self._settler = lane, spool, settler
        self._clock, self._journal, self._recheck = clock, journal, recheck
        self._linger, self._opportunity = linger, opportunity
        self._sending, self.record = sending, record
        self._conversations, self._unreadable = conversations, unreadable
        self._taken: dict[str, tuple[Claim, Go]] = {}
        self._ahead: deque[_Ahead] = deque()  # claimed, and not handed to the courier yet
        self._ahead_since = float("-inf")
        self._some_ahead, self._most_ahead = 1, most_ahead
        self._wired: set[str] = set()
        self._relay_reports = False
        self._peer: str | None = None  # the host that answers, where the way is to a domain
        self.interrupted = False
        self.is_done = False  # there was nothing more to take: we ended the session, not the relay
        self.taken = 0
        self.put_off: set[str] = set()  # came back without the relay having answered MAIL for its own sake
        self.idle = 0.0  # seconds spent waiting for mail, not sending it

    async def take(self, offers: Capabilities) -> Shipment | None:
        """The next message that may leave at this moment, claimed; None when there is none (after a short linger)."""
        self._relay_reports, self._peer = offers.dsn, offers.peer
        while not self._lane.stop.is_set():
            await self._settler.room_for_one(MOST_UNSETTLED)
            if self._ahead:
                if self._clock.monotonic() - self._ahead_since <= STALE:
                    ahead = self._ahead.popleft()
                    return self._ship(ahead.claim, ahead.go)
                self._let_go_ahead()
            elif chosen := await self._choose():
                await self._claim_ahead(chosen)
            elif not await self._more():
                break
        self.is_done = True
        return None

    async def _choose(self) -> dict[str, tuple[Key, Go]]:
        """Those to be claimed next, their places and ways: one on a thin line, several where the relay takes them faster than
        that. Where none of those asked may go, others get their turn before more are asked."""
        since, self._ahead_since = self._ahead_since, self._clock.monotonic()
        is_fast = self._ahead_since - since < AT_ONCE
        self._some_ahead = min(self._most_ahead, self._some_ahead * 2) if is_fast else 1
        chosen: dict[str, tuple[Key, Go]] = {}
        octets, ask = 0, self._some_ahead
        while len(chosen) < self._some_ahead and octets < AHEAD_OCTETS and not self._lane.stop.is_set():
            keys = {item: key for key, item in self._lane.pop(ask)}
            if not keys:
                break
            for item, go in self._recheck(tuple(keys)).items():
                if len(chosen) < self._some_ahead and octets < AHEAD_OCTETS:
                    chosen[item] = keys[item], go
                    octets += self._spool.entries[item].size
                else:
                    self._lane.offer(keys[item], item)
            if chosen:
                ask = self._some_ahead - len(chosen)
            else:
                ask = min(MOST_ASKED, ask * 2)
                await asyncio.sleep(0)
        return chosen

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

    async def _claim_ahead(self, chosen: dict[str, tuple[Key, Go]]) -> None:
        sizes = {item: self._spool.entries[item].size for item in chosen}
        for item, (_, go) in chosen.items():
            self._charge(sizes[item], go)  # before anybody else asks what is left of a budget
        claiming = asyncio.ensure_future(self._spool.claim_some(tuple(chosen)))
        try:
            claims = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._unwanted)  # a cancelled take has taken nothing
            for item, (_, go) in chosen.items():
                self._charge(-sizes[item], go)
            raise
        for (item, (key, go)), claim in zip(chosen.items(), claims, strict=True):
            if isinstance(claim, Claim):
                self._ahead.append(_Ahead(key, claim, go, self._lane.generation))
                continue
            self._charge(-sizes[item], go)
            if not isinstance(claim, NoSuchItem | NotNow):  # these were removed, or are being removed, in the meantime
                self._journal.record(Alarm("spool", f"{item} cannot be read: {claim}"))
                self._unreadable(item)

    def _unwanted(self, claiming: asyncio.Future[list[Claim | GatewayError]]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            for claim in claiming.result():
                if isinstance(claim, Claim):
                    self._spool.give_back(claim)

    def _ship(self, claim: Claim, go: Go) -> Shipment:
        record = claim.record
        item = record.id
        self._taken[item] = (claim, go)
        self.taken += 1
        self._settler.unsettled += 1
        envelope = _envelope(record, go)
        to = tuple(recipient.address for recipient in envelope.recipients)
        self._sending[item] = Sending(
            item, record.size, record.reverse_path, to, self._lane.relay.name, self._lane.link, self._clock.now()
        )
        self._journal.record(Attempt(item, self._lane.relay.name, record.tries + 1))
        return Shipment(item, envelope, claim.content, record.tries + 1, time_left(record, self._clock.now()))

    def _let_go_ahead(self) -> None:
        """What was claimed and is not to be sent now waits as before, in its place; the end of the session puts right what it
        was charged."""
        while self._ahead:
            ahead = self._ahead.popleft()
            self._charge(-ahead.claim.record.size, ahead.go)
            self._spool.give_back(ahead.claim)
            if ahead.generation == self._lane.generation and not self._lane.stop.is_set():
                self._lane.offer(ahead.key, ahead.claim.record.id)

    async def on_wire(self, ids: Sequence[str]) -> None:
        await self._spool.mark_on_wire(ids)
        self._wired.update(ids)

    def settle(self, id: str, outcomes: Sequence[Outcome]) -> None:
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
        self._settler.put(self._settlement(claim, go, tuple(outcomes)))

    def _settlement(self, claim: Claim, go: Go, outcomes: tuple[Outcome, ...]) -> Settlement:
        relay = self._lane.relay.name if self._peer is None else self._peer
        return Settlement(claim, outcomes, relay, self._opportunity(go), go.route, self._relay_reports, go.domains)

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
        self._let_go_ahead()
        for item in tuple(self._taken):
            claim, go = self._taken.pop(item)
            self._sending.pop(item, None)
            if item in self._wired:
                pending = claim.record.pending_on(go.route, go.domains)
                doubt = tuple(Unconfirmed("the session ended by a fault of ours") for _ in pending)
                self._settler.put(self._settlement(claim, go, doubt))
            else:
                self._settler.unsettled -= 1
                self._spool.give_back(claim)


def _envelope(record: Record, go: Go) -> Envelope:
    pending = record.pending_on(go.route, go.domains)
    recipients = tuple(Recipient(r.address, r.notify, r.orcpt) for r in pending)
    return Envelope(record.reverse_path, recipients, record.body, record.smtputf8, record.ret, record.envid)
