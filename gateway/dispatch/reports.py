"""Reports to senders: which are due, and their way into the queue. What they say is `gateway.report`'s (RFC 3464, RFC 3461)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Literal

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.errors import SpoolError
from gateway.events import Journal, Received
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.report.dsn import build_report, may_report, wanted
from gateway.spool.record import RecipientRecord, Record
from gateway.spool.spool import Content, Spool

Kind = Literal["failed", "delayed", "delivered", "relayed"]

HEADER_LIMIT = 65536
"""Octets of the original that are read for a report's copy of its header."""

FULL_LIMIT = 1_000_000
"""Octets up to which a report returns the whole of what failed, where RET=FULL asks for it."""


class Reporter:
    """Commits reports; each is a message of its own with an empty reverse-path."""

    def __init__(self, spool: Spool, settings: Callable[[], Settings], clock: Clock, journal: Journal) -> None:
        self._spool, self._settings, self._clock, self._journal = spool, settings, clock, journal

    async def tell(
        self,
        kind: Kind,
        record: Record,
        recipients: Sequence[RecipientRecord],
        content: Content,
        *,
        will_retry_until: float | None = None,
        plan: str | None = None,
    ) -> str | None:
        """The ID of the report, durable in the queue; None where none is due (NOTIFY, a report, no sender).

        Raises SpoolError where it cannot be stored.
        """
        if not may_report(record):
            return None
        told = [recipient for recipient in recipients if wanted(kind, recipient, record)]
        if not told:
            return None
        whole_wanted = record.ret == "FULL" and kind == "failed" and content.size <= FULL_LIMIT
        header = await content.read(0, content.size if whole_wanted else min(content.size, HEADER_LIMIT))
        if not whole_wanted:
            header = header.partition(b"\r\n\r\n")[0] + b"\r\n"
        settings, now = self._settings(), self._clock.now()

        def octets(report_id: str) -> bytes:
            return build_report(
                kind,
                record,
                told,
                header=header,
                hostname=settings.hostname,
                now=now,
                report_id=report_id,
                will_retry_until=will_retry_until,
                plan=plan,
                language=settings.report_language,
            )

        draft = self._spool.draft([octets])
        try:
            envelope = Envelope("", (Recipient(record.reverse_path),), smtputf8=not record.reverse_path.isascii())
            entry = await self._spool.commit(
                draft, envelope, message_class="normal", peer=Peer(), service="report", report_for=record.id
            )
        except BaseException:
            with contextlib.suppress(SpoolError):
                await draft.abort()
            raise
        self._journal.record(Received(entry.id, "", (record.reverse_path,), entry.size, "normal", service="report"))
        return entry.id
