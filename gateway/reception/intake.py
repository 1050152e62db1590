"""One message between its first octet and its place in the spool: checked, stored as it comes, committed or dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.errors import SpoolError, SpoolFull
from gateway.reception import replies
from gateway.reception.content import Inspection
from gateway.reception.received import REPAIRED_HEAD

if TYPE_CHECKING:
    from gateway.mail.envelope import Class, Envelope, Peer
    from gateway.spool.spool import Entry, Spool


def refusal_of(error: SpoolError) -> bytes:
    """What a client is told of trouble with our disk: always to come again, never where (P10)."""
    return replies.DISK_FULL if isinstance(error, SpoolFull) else replies.DISK_TROUBLE


class Intake:
    """Holds a draft until `commit` or `abort`. After a refusal the rest of the content is taken and dropped.

    The constructor raises SpoolFull or SpoolError, as `Spool.draft` does.
    """

    __slots__ = ("_draft", "_spool", "inspection", "octets", "refusal")

    def __init__(self, spool: Spool, heads: Sequence[Callable[[str], bytes]], *, limit: int, repair: bool) -> None:
        self._spool = spool
        self._draft = spool.draft(heads)
        self.inspection = Inspection(limit=limit, repair=repair)
        self.octets = 0  # as they came; what is stored may differ after repairs
        self.refusal: bytes | None = None

    async def add(self, piece: bytes) -> None:
        """One more piece of content, dots already taken out."""
        self.octets += len(piece)
        if self.refusal is None:
            await self._store(self.inspection.check(piece))

    async def finish(self) -> None:
        """There is no more; from here `inspection` knows all that can be known."""
        if self.refusal is None:
            await self._store(self.inspection.finish())

    async def refuse(self, reply: bytes) -> None:
        """Let go of what was stored; nothing of it is left on disk."""
        self.refusal = reply
        await self._draft.abort()

    async def commit(
        self, envelope: Envelope, *, message_class: Class, peer: Peer, meanwhile: Callable[[Entry], None] | None = None
    ) -> Entry | bytes:
        """Make the message ours (P1), or say why not; then nothing of it is left. `meanwhile`: see `Spool.commit`.

        The commit itself is shielded: a client that is gone cannot undo it.
        """
        try:
            return await self._spool.commit(
                self._draft,
                envelope,
                message_class=message_class,
                peer=peer,
                head=REPAIRED_HEAD if self.inspection.repaired else 0,
                meanwhile=meanwhile,
            )
        except SpoolError as error:
            await self._draft.abort()
            return refusal_of(error)

    async def abort(self) -> None:
        await self._draft.abort()

    async def _store(self, piece: bytes) -> None:
        fault = self.inspection.refusal
        if fault is not None:
            await self.refuse(fault)
        elif piece:
            try:
                await self._draft.write(piece)
            except SpoolError as error:
                await self.refuse(refusal_of(error))
