"""Puts transactions on the wire in the manner that the relay's offers allow.

    BDAT       CHUNKING and PIPELINING: message after message, no answer waited for; large ones envelope first
    DATA       PIPELINING: MAIL, RCPT and DATA in one write, together with the final dot of the message before
    lock-step  one command, one answer

What is written is gathered and handed to the transport when there is enough of it, or before anything is waited for.

Where the answer to the message before is not known yet, RSET goes first: should that message have been refused, its
transaction may still be open, and our recipients must never fall into it (RFC 3030 4.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.courier.capabilities import Capabilities
from gateway.courier.commands import mail_command, rcpt_command
from gateway.courier.content import BLOCK, Damaged, DotStuffer, Guard
from gateway.courier.contract import Phase
from gateway.courier.transaction import Step, Transaction
from gateway.courier.wire import Wire
from gateway.mail.outcome import Reply


class Over(Exception):
    """Nothing more can be written in this session."""


class Writer:
    """`work` is set whenever something changed that a waiting writer may wait for. `closing`: a 421 came.

    `finish(transaction)` is called for one that ends without an answer to its content.
    """

    def __init__(
        self,
        wire: Wire,
        offers: Capabilities,
        *,
        pipelines: bool,
        chunks: bool,
        finish: Callable[[Transaction], None],
        progress: Callable[[Transaction, Phase, int], None],
    ) -> None:
        self.work = asyncio.Event()
        self.closing: Reply | None = None
        self._wire = wire
        self._offers = offers
        self._pipelines = pipelines
        self._chunks = chunks
        self._finish = finish
        self._progress = progress
        self._is_dirty = False  # the relay may have a transaction of ours open
        self._held: tuple[bytes, Transaction] | None = None
        self._parts: list[bytes] = []  # not yet handed to the transport
        self._parts_octets = 0
        self._written = 0
        self._acked = 0  # as the kernel last said
        traffic = wire.traffic()
        self._kernel_base = traffic.written if traffic is not None else 0

    @property
    def holds_back(self) -> bool:
        """True if the end of the last message waits to go together with the next message's envelope."""
        return self._held is not None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, with everything written. Raises Over as soon as nothing can be written any more."""
        self.check()
        if self._parts_octets >= BLOCK:
            self.flush()
        while not condition():
            self.flush()
            self.check()
            self.work.clear()
            await self.work.wait()
            self.check()

    def flush(self) -> None:
        """Hand what was gathered to the transport: small messages that follow each other fill packets together."""
        if self._parts:
            octets = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
            self._parts.clear()
            self._parts_octets = 0
            self._wire.send(octets)

    def check(self) -> None:
        if self._wire.lost is not None or self.closing is not None:
            raise Over

    async def write(self, transaction: Transaction) -> None:
        """Returns when the message is written, with answers still to come. Raises Over; Damaged, and then, if part
        of it was written, the wire is given up."""
        octets = transaction.parcel.shipment.content.octets
        if octets is not None:
            guard = Guard()
            guard.check(octets)
            guard.finish()
        self._progress(transaction, "envelope", 0)
        if not self._pipelines:
            await self._in_lock_step(transaction)
        elif not self._chunks:
            await self._by_data(transaction)
        elif octets is not None:
            self._at_once(transaction, octets)
            await self.until(self._is_writable)
        else:
            await self._by_chunk(transaction)

    def release(self) -> None:
        """Write what was held back."""
        self._send_held()

    def is_complete(self, transaction: Transaction) -> bool:
        """True if the last octet of it may have left this machine. Inside TLS the wire carries more octets than we
        count, so that the answer errs to the side of True."""
        if not transaction.is_written:
            return False
        traffic = self._wire.traffic() if self._wire.lost is None else self._wire.last_traffic
        return traffic is None or traffic.sent - self._kernel_base >= transaction.end_offset

    def may_be_answered(self, transaction: Transaction) -> bool:
        """False if the relay's machine has not even acknowledged its last octet: a yes to it then is none."""
        if not transaction.is_written:
            return False
        if transaction.end_offset > self._acked:
            acked = self._wire.acked()
            if acked is None:
                return True
            self._acked = acked - self._kernel_base
        return self._acked >= transaction.end_offset

    # the manners

    def _at_once(self, transaction: Transaction, octets: bytes) -> None:
        self._send_envelope(transaction)
        self._expect(transaction, Step.END)
        self._send(b"BDAT %d LAST\r\n" % len(octets))
        self._send(octets)
        self._has_written(transaction)

    async def _by_chunk(self, transaction: Transaction) -> None:
        """Envelope first: nobody pays for content that no recipient gets. Then all of it as one chunk."""
        self._send_envelope(transaction)
        await self.until(lambda: transaction.owed == 0)
        if not transaction.is_welcome:
            self._finish(transaction)
            return
        self._expect(transaction, Step.END)
        self._send(b"BDAT %d LAST\r\n" % transaction.parcel.shipment.content.size)
        await self._stream(transaction, lambda block: block)
        self._has_written(transaction)

    async def _by_data(self, transaction: Transaction) -> None:
        self._send_held()
        self._send_envelope(transaction)
        self._expect(transaction, Step.DATA)
        self._send(b"DATA\r\n")
        await self.until(lambda: transaction.owed == 0)
        if transaction.data is not None:
            self._finish(transaction)
            return
        if not transaction.is_welcome:
            # 354 although nobody is accepted (RFC 2920 3.1): an empty message, and its fate is nobody's.
            self._send(b".\r\n")
            self._has_written(transaction)
            return
        stuffer = DotStuffer()
        octets = transaction.parcel.shipment.content.octets
        if octets is not None:  # held back whole: it shares its last packet with the next envelope
            self._held = (stuffer.stuff(octets) + stuffer.end(), transaction)
        else:
            await self._stream(transaction, stuffer.stuff)
            self._held = (stuffer.end(), transaction)

    async def _in_lock_step(self, transaction: Transaction) -> None:
        if self._is_dirty:
            await self._ask(transaction, Step.RSET, 0, b"RSET\r\n")
        self._is_dirty = True
        shipment = transaction.parcel.shipment
        await self._ask(
            transaction, Step.MAIL, 0, mail_command(shipment.envelope, shipment.content.size, self._offers, shipment.by)
        )
        if transaction.mail is not None and transaction.mail.code < 400:
            for place, index in enumerate(transaction.indices):
                recipient = shipment.envelope.recipients[index]
                await self._ask(transaction, Step.RCPT, place, rcpt_command(recipient, self._offers))
        if transaction.is_welcome:
            await self._ask(transaction, Step.DATA, 0, b"DATA\r\n")
        if not transaction.is_welcome or transaction.data is not None:
            self._finish(transaction)
            return
        stuffer = DotStuffer()
        await self._stream(transaction, stuffer.stuff)
        self._send(stuffer.end())
        self._has_written(transaction)
        self._is_dirty = False  # whatever the answer, it ends the transaction (RFC 5321 4.1.1.4)
        await self.until(lambda: transaction.is_over)

    async def _ask(self, transaction: Transaction, step: Step, index: int, command: bytes) -> None:
        self._expect(transaction, step, index)
        self._send(command)
        await self.until(lambda: transaction.owed == 0)

    def _send_envelope(self, transaction: Transaction) -> None:
        """The commands up to the content, and their answers expected."""
        shipment = transaction.parcel.shipment
        if self._is_dirty:
            self._expect(transaction, Step.RSET)
            self._send(b"RSET\r\n")
        self._is_dirty = True
        self._expect(transaction, Step.MAIL)
        self._send(mail_command(shipment.envelope, shipment.content.size, self._offers, shipment.by))
        for place, index in enumerate(transaction.indices):
            self._expect(transaction, Step.RCPT, place)
            self._send(rcpt_command(shipment.envelope.recipients[index], self._offers))

    async def _stream(self, transaction: Transaction, dress: Callable[[bytes], bytes]) -> None:
        """The content block by block, no faster than the connection takes it.

        There is no way out of a message begun but to close the connection: when it turns out damaged, and when the
        relay refuses it before it is all there.
        """
        try:
            await self._stream_guarded(transaction, dress)
        except Damaged:
            self._wire.give_up("was left by us")
            raise
        self._check_welcome(transaction)

    def _check_welcome(self, transaction: Transaction) -> None:
        """Once refused, it is not sent on: the relay may take what follows for commands, or answer it once more."""
        if transaction.is_over:
            self._wire.give_up("refused a message before it was all sent")
            raise Over

    async def _stream_guarded(self, transaction: Transaction, dress: Callable[[bytes], bytes]) -> None:
        content = transaction.parcel.shipment.content
        if content.octets is not None:  # looked at already
            self._send(dress(content.octets))
            await self.until(lambda: self._wire.is_writable or transaction.is_over)
            return
        guard = Guard()
        offset = 0
        while offset < content.size:
            block = await content.read(offset, min(BLOCK, content.size - offset))  # what is more would be a command
            if not block:
                raise Damaged("fewer octets than were accepted")
            guard.check(block)
            offset += len(block)
            if offset == content.size:
                guard.finish()
            self.check()
            self._send(dress(block))
            self._progress(transaction, "content", offset)
            await self.until(lambda: self._wire.is_writable or transaction.is_over)
            if transaction.is_over:
                return

    # the wire

    def _expect(self, transaction: Transaction, step: Step, index: int = 0) -> None:
        if step is not Step.END:
            transaction.owed += 1
        self._wire.expect((transaction, step, index))

    def _send(self, octets: bytes) -> None:
        self._parts.append(octets)
        self._parts_octets += len(octets)
        self._written += len(octets)

    def _has_written(self, transaction: Transaction) -> None:
        transaction.is_written = True
        transaction.end_offset = self._written
        self._progress(transaction, "answer", transaction.parcel.shipment.content.size)

    def _send_held(self) -> None:
        if self._held is not None:
            octets, transaction = self._held
            self._held = None
            self._check_welcome(transaction)
            self._send(octets)
            self._is_dirty = False  # whatever the answer, it ends the transaction (RFC 5321 4.1.1.4)
            self._has_written(transaction)

    def _is_writable(self) -> bool:
        return self._wire.is_writable
