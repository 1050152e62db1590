"""A teller over a real spool, and messages of which the relay has said its last word; what their senders are told."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage, Message
from pathlib import Path

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.dispatch.reports import Reporter
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import Settlement, Settler
from gateway.dispatch.telling import Teller
from gateway.events import Event, Journal
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.mail.outcome import Failed, Outcome, Reply
from gateway.spool.record import Record
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.spools import whole_content

QUOTA = Failed(Reply(550, "5.2.2 quota exceeded"))


class Telling:
    """Settler and teller of one gateway over this spool. `is_idle`, `late`: what the dispatcher would say."""

    def __init__(self, spool: Spool, clock: Clock | None = None) -> None:
        self.spool, self.clock = spool, clock if clock is not None else FakeClock()
        self.events: list[Event] = []
        journal = Journal()
        journal.subscribe(self.events.append)
        settings = Settings(None, "gw.branch.example", Path("spool"))
        self.is_idle, self.late = True, {}  # type: bool, dict[str, str]
        self.reporter = Reporter(spool, lambda: settings, self.clock, journal)
        self.teller = Teller(
            spool,
            self.reporter,
            lambda: settings,
            self.clock,
            journal,
            self._late,
            lambda: self.is_idle and not self.settler.unsettled,
        )
        self.settler = Settler(
            spool, lambda: settings, self.clock, journal, self._changed, self._late, self.teller.note_late
        )
        self.journal = journal
        self.stop_listening = spool.subscribe(self._changed)

    def _late(self, record: Record) -> str | None:
        return self.late.get(record.id) if record.warned is None else None

    def _changed(self, item: str) -> None:
        entry = self.spool.entries.get(item)
        if entry is not None and entry.untold:
            self.teller.note(item)

    async def hand_in(
        self,
        subject: str = "order",
        to: Sequence[str | Recipient] = ("bob@dest.test",),
        sender: str = "anna@branch.test",
        **envelope: str,
    ) -> str:
        draft = self.spool.draft([lambda item: b""])
        await draft.write(f"Message-ID: <{subject}@pc>\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
        recipients = tuple(r if isinstance(r, Recipient) else Recipient(r) for r in to)
        made = Envelope(sender, recipients, **envelope)  # type: ignore[arg-type]  # ret, envid, by name
        return (await self.spool.commit(draft, made, message_class="normal", peer=Peer())).id

    async def settle(self, item: str, *outcomes: Outcome, relay: str = "isp") -> None:
        """One attempt with these outcomes."""
        claim = await self.spool.claim(item)
        self.settler.unsettled += 1
        self.settler.put(Settlement(claim, outcomes, relay, Opportunity()))
        await self.settler.drain()

    async def reports(self) -> list[tuple[Record, EmailMessage]]:
        """The reports in the queue, oldest first."""
        found = []
        for item in sorted(self.spool.entries):
            record = await self.spool.record(item)
            if record.service == "report":
                parsed = email.message_from_bytes(await whole_content(self.spool, item), policy=email.policy.SMTP)
                assert isinstance(parsed, EmailMessage)
                found.append((record, parsed))
        return found


def groups_of(report: EmailMessage) -> list[Message]:
    """The groups of fields of its delivery status: of the message, then of each recipient."""
    status = list(report.iter_parts())[1]
    assert status.get_content_type() == "message/delivery-status"
    groups = status.get_payload()
    assert isinstance(groups, list)
    return groups  # type: ignore[return-value]  # a list of messages, for this type
