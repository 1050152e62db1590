"""Reports to senders: which are due, and their way into the queue. What they say is `gateway.report`'s (RFC 3464, RFC 3461).

When a failure is told, and which are told together, is `gateway.dispatch.telling`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.errors import GatewayError, SpoolError
from gateway.events import Journal, Received
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.report.dsn import Kind, build_report, may_report, wanted
from gateway.report.joint import Original, build_joint_report
from gateway.spool.record import RecipientRecord, Record
from gateway.spool.spool import Content, Spool

HEADER_LIMIT = 65536
"""Octets of the original that are read for a report's copy of its header."""

FULL_LIMIT = 1_000_000
"""Octets up to which a report returns the whole of what failed, where RET=FULL asks for it."""

JOINT_HEADER = 8192
"""Octets of each original that are read for its subject and Message-ID in a joint report."""


MOST_MESSAGES, MOST_RECIPIENTS = 200, 500
"""In one report; what is more begins another. With the longest replies that is some 500 kB."""


def has_room(recipients: Sequence[int], more: int) -> bool:
    """May a report about messages with so many recipients each also tell of one with `more`?"""
    return len(recipients) < MOST_MESSAGES and sum(recipients) + more <= MOST_RECIPIENTS


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
    ) -> str | None:
        """Of one message, now: the ID of the report, durable in the queue; None where none is due (NOTIFY, no sender).

        Raises SpoolError where it cannot be stored.
        """
        if not may_report(record):
            return None
        told = [recipient for recipient in recipients if wanted(kind, recipient, record)]
        if not told:
            return None
        header = (await content.read(0, min(content.size, HEADER_LIMIT))).partition(b"\r\n\r\n")[0] + b"\r\n"
        return await self.commit(kind, [Original(record, told, header)])

    async def original(
        self, record: Record, recipients: Sequence[RecipientRecord], *, is_alone: bool, until: float | None = None
    ) -> Original:
        """What a report needs of a waiting or removed message: its header, or all of it where the sender asked for that and it
        stands alone. What cannot be read is left out, since the report must not fail for it."""
        try:
            content = await self._spool.content(record.id)
        except GatewayError:
            return Original(record, recipients, b"", until)
        try:
            whole = is_alone and record.ret == "FULL" and content.size <= FULL_LIMIT
            limit = content.size if whole else HEADER_LIMIT if is_alone else JOINT_HEADER
            octets = await content.read(0, min(content.size, limit))
        except GatewayError:
            octets = b""
        finally:
            content.close()
        return Original(record, recipients, octets if whole else octets.partition(b"\r\n\r\n")[0] + b"\r\n", until)

    async def commit(self, kind: Kind, originals: Sequence[Original], plan: str | None = None) -> str:
        """One report about these messages, all of one sender; its ID, durable in the queue.

        Whether each may and should be told of is the caller's to know. Raises SpoolError where it cannot be stored.
        """
        settings, now, first = self._settings(), self._clock.now(), originals[0]

        def octets(report_id: str) -> bytes:
            if len(originals) > 1:
                return build_joint_report(
                    kind, originals, hostname=settings.hostname, now=now, report_id=report_id, plan=plan
                )
            return build_report(
                kind,
                first.record,
                first.recipients,
                header=first.header,
                hostname=settings.hostname,
                now=now,
                report_id=report_id,
                will_retry_until=first.will_retry_until,
                plan=plan,
                language=settings.report_language,
            )

        sender, about = first.record.reverse_path, " ".join(original.record.id for original in originals)
        draft = self._spool.draft([octets])
        try:
            envelope = Envelope("", (Recipient(sender),), smtputf8=not sender.isascii())
            entry = await self._spool.commit(
                draft, envelope, message_class="normal", peer=Peer(), service="report", report_for=about
            )
        except BaseException:
            with contextlib.suppress(SpoolError):
                await draft.abort()
            raise
        self._journal.record(Received(entry.id, "", (sender,), entry.size, "normal", service="report"))
        return entry.id
