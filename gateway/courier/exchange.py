"""The messages of one session: taken, written, answered, settled, any number of them at once.

Three things run side by side. The taker fetches shipments while there is room; the writer puts them on the wire;
answers come in as events, and each finished message is settled at once: the caller groups what it writes to disk.

What may be taken is `taker`'s, how a message is written `writer`'s, what its answers mean `judge`'s: here each gets its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import cast

from gateway.courier.capabilities import Capabilities
from gateway.courier.content import Damaged
from gateway.courier.contract import Feed, Phase, Timers
from gateway.courier.dialogue import dialogue, went_wrong
from gateway.courier.judge import SERVICE_CLOSING, asks_to_slow_down, judge
from gateway.courier.memory import DISTRUST, NEVER, RelayMemory
from gateway.courier.pace import NEAR_SESSIONS, Pace, useful_sessions
from gateway.courier.settling import Settling, one_too_many
from gateway.courier.taker import Taker
from gateway.courier.transaction import Step, Transaction, answer_limit
from gateway.courier.watch import Probe, Watch
from gateway.courier.wire import Slot, Wire
from gateway.courier.writer import Over, Writer
from gateway.mail.outcome import Deferred, Delivered, Outcome, Reply, clean_reply_text

PATIENT = 3
"""Messages of a session that a relay may refuse for our speed before we leave it alone."""
MARKED_AT_ONCE = 32


class Exchange:
    """`run` returns when all that was taken is settled. After it: `accepted` messages, `setup` (the reply that shows
    that the relay takes no mail from us), `damaged` (IDs), `trouble` (of our own side, as a sentence), `slow` (the
    reply with which it asked us more than once to send less), `was_idle` (the connection ended while nothing was under way)."""

    def __init__(
        self,
        wire: Wire,
        feed: Feed,
        offers: Capabilities,
        memory: RelayMemory,
        timers: Timers,
        stop: asyncio.Event | None,
        probe: Probe,
    ) -> None:
        self.setup: Reply | None = None
        self.damaged: list[str] = []
        self.trouble: str | None = None
        self.slow: Reply | None = None
        self.was_idle = True
        self._wire = wire
        self._feed = feed
        self._offers = offers
        self._memory = memory
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        self._pipelines = offers.pipelining and self._loop.time() >= memory.no_pipelining
        self._pace = Pace(wire.traffic(), self._loop.time())
        self._open: dict[Transaction, None] = {}  # begun and not over, in the order of their answers
        self._has_begun = False
        self._too_fast = 0
        self._last_answer: float | None = None
        self._refused_bdat = False
        room = asyncio.Event()
        self._settling = Settling(feed, room.set, self._has_trouble)
        self._chunks = self._pipelines and offers.chunking and self._loop.time() >= memory.no_chunking
        self._writer = Writer(
            wire,
            offers,
            pipelines=self._pipelines,
            chunks=self._chunks,
            finish=self._finish,
            progress=self._progress,
        )
        self._taker = Taker(
            wire,
            feed,
            offers,
            memory,
            self._pace,
            self._settling,
            stop,
            pipelines=self._pipelines,
            room=room,
            work=self._writer.work,
            on_trouble=self._cannot_take,
        )
        self._watch = Watch(wire, timers, self._answer_limit, probe)

    @property
    def accepted(self) -> int:
        """Messages that the relay took."""
        return self._settling.accepted

    @property
    def closing(self) -> Reply | None:
        """The 421 that ended the session, if one did."""
        return self._writer.closing

    async def run(self) -> None:
        """On cancellation the connection is cut and everything taken is settled before it is passed on."""
        wire = self._wire
        wire.receiver = self._answered
        wire.unasked = self._unasked
        wire.on_lost = self._on_lost
        wire.on_writable = self._on_writable
        self._watch.start()
        wire.limit_ahead(self._pace.ahead, is_near=self._pace.is_near)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._taker.run())
                group.create_task(self._write_all())
            if self.closing is not None and self._open:
                await self._await_hangup()
        finally:
            await self._conclude()

    def learn(self) -> None:
        """Remember of this relay that it does not do what it offers, so that the next session asks less of it."""
        if self._wire.is_nonsense and self._chunks:
            self._memory.no_chunking = self._loop.time() + DISTRUST
        elif self._wire.is_nonsense and self._pipelines:
            self._memory.no_pipelining = self._loop.time() + DISTRUST
        if self.setup is not None:  # perhaps it takes nothing in clear, and encryption only failed once
            self._memory.no_tls = NEVER

    def suspect(self) -> None:
        """A link changed. What is under way gets a chance to show that it survived; an idle connection is left."""
        if self._settling.unsettled:
            self._watch.suspect()
        else:
            self._wire.give_up("was left by us: a link changed")

    async def _await_hangup(self) -> None:
        """After a 421 the relay closes. What comes until then still counts; what it then left unanswered it never
        looked at, since it answers in order."""
        work = self._writer.work
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timers.hangup):
                while self._open and self._wire.lost is None:
                    work.clear()
                    await work.wait()

    async def _conclude(self) -> None:
        """Settle what is left."""
        has_hung_up = self.closing is not None and self._wire.is_hung_up
        if self._wire.lost is None and (self._open or self._taker.ready):
            self._wire.give_up("was left by us")
        self._watch.stop()
        self._drop_ready()
        for transaction in tuple(self._open):
            is_complete = self._writer.is_complete(transaction) and not has_hung_up and not self._refused_bdat
            self._end_transaction(transaction, complete=is_complete)

    # writing

    async def _write_all(self) -> None:
        writer, taker, ready = self._writer, self._taker, self._taker.ready
        try:
            while True:
                if writer.holds_back and not ready:
                    writer.release()
                await writer.until(lambda: bool(ready) or (not taker.has_more and not self._open))
                if not ready:
                    return
                if not ready[0].parcel.is_marked:
                    writer.flush()
                    await self._mark()
                    writer.check()
                    if not ready:
                        continue
                transaction = ready.popleft()
                self._open[transaction] = None
                transaction.is_first = not self._has_begun
                self._has_begun = True
                await self._write_one(transaction)
                taker.room.set()
        except Over:
            pass
        except Exception as exc:  # the caller's trouble ends the session, not the program
            self.trouble = f"the message cannot be sent ({exc})"
        finally:
            writer.flush()
            taker.end()

    async def _mark(self) -> None:
        """Have what is ready recorded as on the wire, some in one go: a cut leaves all of these in doubt."""
        unmarked = (transaction.parcel for transaction in self._taker.ready if not transaction.parcel.is_marked)
        parcels = list(itertools.islice(unmarked, MARKED_AT_ONCE))
        await self._feed.on_wire([parcel.shipment.id for parcel in parcels])
        for parcel in parcels:
            parcel.is_marked = True

    async def _write_one(self, transaction: Transaction) -> None:
        try:
            await self._writer.write(transaction)
        except Damaged as exc:
            parcel = transaction.parcel
            self.damaged.append(parcel.shipment.id)
            self._forget(transaction)
            for index in parcel.open_indices:
                parcel.outcomes[index] = Deferred(f"the content holds {exc}, which must not leave", is_real=False)
            self._settling.end(parcel)
        if transaction.is_written and transaction.cost:
            shipment = transaction.parcel.shipment
            if shipment.content.octets is None:  # the connection itself bounds what of it is still under way
                self._taker.release(transaction)

    # answers

    def _answered(self, slot: Slot, code: int, raw: bytes) -> None:
        transaction, step, index = cast("tuple[Transaction, Step, int]", slot)
        reply = Reply(code, clean_reply_text(raw))
        is_early = step is Step.END and code < 300 and not self._writer.may_be_answered(transaction)
        if not transaction.note(step, index, reply) or is_early:
            transaction.end = None if is_early else transaction.end
            self._wire.give_up(f"answers out of step ({reply})", nonsense=True)
            return
        if code == SERVICE_CLOSING:
            self._close(reply)
        if step is Step.END and self._chunks and _knows_no_bdat(reply):
            transaction.end = None  # of what follows it takes every line for a command
            self._refused_bdat = True
            self._wire.give_up(f"offers CHUNKING and does not know it ({reply})", nonsense=True)
            return
        if step is Step.DATA and code == 354:  # expected from here on: a refusal may come before the content is there
            self._wire.expect((transaction, Step.END, 0))
        if step is Step.END and not transaction.is_over:
            self._finish(transaction)
        if not transaction.owed:
            self._writer.work.set()

    def _unasked(self, code: int, raw: bytes) -> None:
        reply = Reply(code, clean_reply_text(raw))
        if code == SERVICE_CLOSING:
            self._close(reply)
        else:
            self._wire.give_up(f"answers what nobody asked ({reply})", nonsense=True)

    def _close(self, reply: Reply) -> None:
        self.was_idle = not self._settling.unsettled
        self._writer.closing = reply
        self._taker.end()

    def _cannot_take(self, text: str) -> None:
        """What is taken is sent all the same."""
        self.trouble = text

    def _has_trouble(self, text: str) -> None:
        self.trouble = text
        self._taker.end()
        self._drop_ready()

    def _on_writable(self) -> None:
        self._taker.room.set()
        self._writer.work.set()

    def _on_lost(self) -> None:
        self.was_idle = not self._settling.unsettled
        self._taker.end()

    def _answer_limit(self) -> float:
        slot = next(iter(self._wire.outstanding), None)
        transaction, step = slot[:2] if isinstance(slot, tuple) else (None, None)
        size = transaction.parcel.shipment.content.size if isinstance(transaction, Transaction) else 0
        return answer_limit(self._timers, step, size)

    # outcomes

    def _finish(self, transaction: Transaction) -> None:
        """All answers that matter are there."""
        self._end_transaction(transaction, complete=transaction.is_written)

    def _end_transaction(self, transaction: Transaction, *, complete: bool) -> None:
        parcel = transaction.parcel
        lost = self._wire.lost
        if (transaction.mail is not None or lost is not None) and went_wrong(transaction):
            self._tell(transaction, lost)
        verdict = judge(
            transaction.facts(
                complete=complete,
                lost=None if lost is None else f"the relay {lost}",
                accepted_before=self.accepted > 0,
                in_doubt_of_setup=self.setup is not None,
            )
        )
        if transaction.end is not None and self._pace.answered(parcel.shipment.content.size, self._loop.time()):
            self._wire.limit_ahead(self._pace.ahead, is_near=False)
        if transaction.end is not None and not self._chunks:
            self._measure_waits(transaction)
        self._forget(transaction)
        if verdict.setup is not None:
            self.setup = verdict.setup
            self._taker.end()
            self._drop_ready()
        self._heed(verdict.outcomes)
        taken = sum(isinstance(outcome, Delivered) for outcome in verdict.outcomes)
        for index, outcome in zip(transaction.indices, verdict.outcomes, strict=True):
            too_many = one_too_many(outcome) if taken else None
            if too_many is not None:
                parcel.put_off[index] = outcome
                if too_many.enhanced is not None:  # else it may be something else, and no limit to be kept for ever
                    self._memory.rcpt_max = taken
            else:
                parcel.outcomes[index] = outcome
        if parcel.open_indices and lost is None and self.closing is None and transaction.end is not None:
            self._taker.lay_ready(parcel)
        else:
            self._settling.end(parcel)

    def _tell(self, transaction: Transaction, lost: str | None) -> None:
        """What was said, to a feed that wants to know; whatever comes of that, the message is settled."""
        heard = getattr(self._feed, "heard", None)
        if heard is not None:
            id = transaction.parcel.shipment.id
            try:
                heard(id, dialogue(transaction, self._offers, chunks=self._chunks, lost=lost))
            except Exception as exc:  # the caller's trouble ends the session, not the program
                self._cannot_take(f"what was said of {id} cannot be kept ({exc})")
                self._taker.end()

    def _heed(self, outcomes: Sequence[Outcome]) -> None:
        """A relay that says again and again that we are too fast gets no more in this session: no storm (CASES C29)."""
        replies = [outcome.reply for outcome in outcomes if isinstance(outcome, Deferred) and outcome.reply is not None]
        if not replies or len(replies) < len(outcomes) or not all(asks_to_slow_down(reply) for reply in replies):
            return
        self._too_fast += 1
        if self._too_fast >= PATIENT and self.slow is None:
            self.slow = replies[0]
            self._taker.end()
            self._drop_ready()

    def _drop_ready(self) -> None:
        """What is taken and not begun goes back."""
        while self._taker.ready:
            self._end_transaction(self._taker.ready.popleft(), complete=False)

    def _measure_waits(self, transaction: Transaction) -> None:
        """Where each message waits for answers, learn how many sessions at once would hide that."""
        if self._pace.is_near:
            self._memory.useful_sessions = NEAR_SESSIONS
            return
        now = self._loop.time()
        before, self._last_answer = self._last_answer, now
        if before is None:  # the first message also waits for its own envelope
            return
        traffic = self._wire.traffic()
        if traffic is not None and self._memory.open_sessions == 1 and self._taker.has_more:
            trips = 1 if self._pipelines else 3 + len(transaction.indices)
            self._memory.useful_sessions = useful_sessions(now - before, trips, traffic.least_rtt)

    def _forget(self, transaction: Transaction) -> None:
        transaction.is_over = True
        self._open.pop(transaction, None)
        self._taker.release(transaction)
        self._writer.work.set()

    def _progress(self, transaction: Transaction, phase: Phase, octets: int) -> None:
        self._feed.progress(transaction.parcel.shipment.id, phase, octets)


def _knows_no_bdat(reply: Reply) -> bool:
    """500 and 502 say that the command is unknown, unless the enhanced code says something else (RFC 3463 3.6)."""
    return reply.code in (500, 502) and (reply.enhanced is None or reply.enhanced.startswith("5.5."))
