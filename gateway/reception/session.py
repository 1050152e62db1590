"""Mail transactions: MAIL, RCPT, DATA, BDAT, and the 250 that promises (RFC 5321, 1870, 2852, 3030, 3461, 6152, 6531).

Answers for the order of these commands and for their replies. What a client may do is decided in `policy`, what its
arguments say in `parameters`, what its octets are in `content`; disk is the spool's.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from aiosmtpd.smtp import syntax

from gateway.errors import SpoolError
from gateway.events import Alarm, Received
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.reception import policy, replies
from gateway.reception.classify import classify
from gateway.reception.connection import Hangup
from gateway.reception.conversation import Conversation
from gateway.reception.host import Host, Rules
from gateway.reception.intake import Intake, refusal_of
from gateway.reception.parameters import MailArguments, Offers, read_mail, read_rcpt
from gateway.reception.received import came_straight_from, from_clause, heads, protocol_word
from gateway.reception.replies import Refusal
from gateway.reception.transfer import EXCESS, Pace, take_chunk, take_lines

if TYPE_CHECKING:
    from gateway.spool.spool import Entry

_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)

MAX_STRANGERS_RECIPIENTS = 128 * 1024
"""Octets of recipients, with their ORCPT, that a message of one who may not relay can make us keep: 170 of the longest there
are. Five hundred connections with a thousand such each would be a board's whole memory (P12)."""

MAX_BEYOND = 10_000
"""Recipients beyond the limit that are still answered; then the connection ends."""


class Session(Conversation):
    """One client, from its greeting to its end."""

    mail: MailArguments | None = None
    intake: Intake | None = None  # with DATA for a moment, with BDAT from the first chunk to the last
    is_taking = False
    _pace: Pace | None = None  # of the chunks of BDAT: many small ones are no way around the minimum rate
    _has_refused_recipients = False
    _kept = _beyond = 0

    def __init__(self, host: Host, rules: Rules, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(host, rules, loop)
        self.recipients: list[Recipient] = []

    async def end(self) -> None:
        await self.forget()

    @property
    def is_in_transaction(self) -> bool:
        return self.mail is not None

    async def forget(self) -> None:
        self.mail = self._pace = None
        self.recipients = []
        self._kept = self._beyond = 0
        self._has_refused_recipients = False
        intake, self.intake = self.intake, None
        if intake is not None:
            await intake.abort()

    # The envelope.

    @syntax("MAIL FROM:<address> [parameters]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        refusal = self._judge_mail(arg or "")
        if refusal is not None:
            self.wrong(refusal, reverse_path=_as_written(arg))

    def _judge_mail(self, arg: str) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is not None:
            return replies.NESTED_MAIL
        if self.host.is_stopping:
            raise Hangup(replies.SHUTTING_DOWN)
        if self.rules.listen.auth == "required" and self.standing.user is None:
            return replies.AUTH_NEEDED
        mail = read_mail(arg, extended=self.state.extended_smtp, offers=Offers(smtputf8=self.takes_smtputf8))
        if isinstance(mail, Refusal):
            return mail.reply
        accept = self.rules.accept
        refusal = policy.judge_sender(mail.path, self.standing, accept.senders, self.own_addresses)
        if refusal is not None:
            return refusal
        if mail.size is not None and mail.size > self.max_message:
            return replies.TOO_BIG
        if not self.host.guests.may_send(self.origin, accept.max_messages_per_client, self.host.clock.monotonic()):
            return replies.TOO_MANY_MESSAGES
        try:
            free, reserve = self.host.spool.room()
        except SpoolError as error:
            return refusal_of(error)
        if free - (mail.size or 0) < reserve:
            return replies.DISK_FULL
        self.mail = mail
        self.has_begun = True
        self.reply(replies.SENDER_OK)
        return None

    @syntax("RCPT TO:<address> [parameters]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        refusal = self._judge_recipient(arg or "")
        if refusal is None:
            self.reply(replies.RECIPIENT_OK)
            return
        self._has_refused_recipients = self.mail is not None
        if refusal == replies.TOO_MANY_RECIPIENTS:
            self._beyond += 1
            if self._beyond > MAX_BEYOND:
                raise Hangup(replies.TOO_MANY_COMMANDS)
            self.reply(refusal)  # no mistake of the client's: it sends the rest in another transaction
        else:
            reverse_path = self.mail.path.address if self.mail is not None else None
            self.wrong(refusal, reverse_path=reverse_path, to=_as_written(arg))

    def _judge_recipient(self, arg: str) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is None:
            return replies.MAIL_FIRST
        if self.intake is not None:
            return replies.IN_CHUNKS
        asked = read_rcpt(arg, extended=self.state.extended_smtp, smtputf8=self.mail.smtputf8)
        if isinstance(asked, Refusal):
            if asked.reply == replies.BAD_RECIPIENT and not self.standing.may_relay and "<>" not in arg:
                return replies.RELAY_DENIED  # another way to write somebody else's address
            return asked.reply
        refusal = policy.judge_recipient(asked.path, self.standing, self.rules.domains)
        if refusal is not None:
            return refusal
        if len(self.recipients) >= self.rules.accept.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        if not self.standing.may_relay:
            octets = len(asked.path.address) + len(asked.orcpt or "")
            if self._kept + octets > MAX_STRANGERS_RECIPIENTS:
                return replies.TOO_MANY_RECIPIENTS
            self._kept += octets
        self.recipients.append(Recipient(asked.path.address, asked.notify, asked.orcpt))
        return None

    def _may_take_content(self) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is None:
            return replies.MAIL_FIRST
        if not self.recipients:
            return replies.NO_RECIPIENTS if self._has_refused_recipients else replies.RCPT_FIRST
        return None

    def _begin(self, mail: MailArguments) -> Intake:
        """Raises SpoolError."""
        host = self.host
        now = host.clock.now()
        earliest = host.clock_not_set() if host.clock_not_set is not None else None
        repair = policy.repairs(self.rules.accept.line_endings, self.standing)
        return Intake(
            host.spool,
            heads(
                origin=from_clause(self.state.host_name, self.client if self.address is not None else None),
                hostname=self.rules.hostname,
                secret=host.secret,
                protocol=protocol_word(
                    extended=self.state.extended_smtp,
                    tls=self.tls is not None,
                    auth=self.standing.user is not None,
                    smtputf8=mail.smtputf8,
                ),
                recipient=self.recipients[0].address if len(self.recipients) == 1 else None,
                now=now if earliest is None else max(now, earliest),
                clock_not_set=earliest is not None,
                may_repair=repair,
            ),
            limit=self.max_message,
            repair=repair,
        )

    # The content.

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        refusal = replies.NO_ARGUMENT if arg else self._may_take_content()
        if refusal is None and self.intake is not None:
            refusal = replies.IN_CHUNKS
        if refusal is None:
            assert self.mail is not None
            try:
                self.intake = self._begin(self.mail)
            except SpoolError as error:
                refusal = refusal_of(error)
        if refusal is not None:
            self.wrong(refusal)
            if self.inbox.buffer:  # content sent unasked would be read as commands
                raise Hangup(replies.TALKS_TOO_EARLY)
            return
        assert self.intake is not None
        if self.inbox.buffer and not self.standing.may_relay:
            self.tell(replies.TALKS_TOO_EARLY)
            raise Hangup(replies.TALKS_TOO_EARLY)
        self.reply(replies.START_INPUT)
        self.is_taking = True
        try:
            await take_lines(self, self.intake, self.max_message)
            # Where a content with such faults ends is a matter of opinion, so what follows may be part of it.
            await self._conclude(self.intake, closing=(replies.BARE_ENDINGS, replies.NUL_CONTENT))
        finally:
            self.is_taking = False

    @syntax("BDAT size [LAST]")
    async def smtp_BDAT(self, arg: str | None) -> None:
        asked = _CHUNK.fullmatch(arg or "")
        if asked is None:
            self.wrong(replies.BAD_CHUNK)
            if self.inbox.buffer:  # nobody knows how much of this is content
                raise Hangup(replies.BAD_CHUNK)
            return
        size, is_last = int(asked[1]), asked[2] is not None
        refusal = self._may_take_content()
        if refusal is None and self.intake is None:
            assert self.mail is not None
            try:
                self.intake = self._begin(self.mail)
            except SpoolError as error:
                refusal = refusal_of(error)
        intake = self.intake
        taken = intake.octets if intake is not None else 0
        if taken + size > EXCESS * self.max_message:
            self.tell(replies.TOO_BIG)
            raise Hangup(replies.TOO_BIG)
        if not size and not is_last:
            self.count_chatter()
        if self._pace is None:
            self._pace = Pace(self)
        self.is_taking = True
        try:
            await take_chunk(self, intake, size, self._pace)
            if intake is None or refusal is not None:
                self.wrong(refusal or replies.MAIL_FIRST)
            elif is_last:
                await self._conclude(intake)
            elif intake.refusal is not None:
                self.reply(intake.refusal)
            else:
                self.reply(b"250 2.0.0 %d octets" % size)
        finally:
            self.is_taking = False

    async def _conclude(self, intake: Intake, closing: tuple[bytes, ...] = ()) -> None:
        """Answer for the whole content, 250 only once it is safe; the transaction is over.

        Raises Hangup after a refusal that is one of `closing`.
        """
        await intake.finish()
        refusal = intake.refusal or await self._commit(intake)
        mail = self.mail
        await self.forget()
        if refusal is None:
            return
        self.tell(refusal, reverse_path=mail.path.address if mail is not None else None)
        if refusal in closing:
            raise Hangup(refusal)
        self.reply(refusal)

    async def _commit(self, intake: Intake) -> bytes | None:
        mail, host = self.mail, self.host
        assert mail is not None
        header = intake.inspection.header
        if header[:1] in (b" ", b"\t") and not self.standing.may_relay:
            return replies.FOLDS_OURS
        sent_as = came_straight_from(host.secret, header)
        if sent_as is not None:
            if host.looped is None or not host.looped(sent_as):
                what = "a message came straight back: the relay leads to this gateway"
                host.journal.record(Alarm(about="relay", what=what))
            return replies.LOOPS_NOW
        envelope = Envelope(
            reverse_path=mail.path.address,
            recipients=tuple(self.recipients),
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
            deliver_by=host.clock.now() + mail.by.seconds if mail.by is not None else None,
            by_mode=mail.by.mode if mail.by is not None else None,
            by_trace=mail.by is not None and mail.by.trace,
        )
        message_class = classify(self.rules.classes, envelope, header)
        if host.refuses is not None:
            why = host.refuses(message_class, intake.inspection.size)
            if why is not None:
                return b"552 5.3.4 " + _one_line(why)
        peer = Peer(address=self.client, helo=self.state.host_name, user=self.standing.user, tls=self.tls is not None)
        words = b""

        def say(entry: Entry) -> None:
            """What the 250 will be, made while the disk works."""
            nonlocal words
            words = b"250 2.0.0 queued as " + entry.id.encode()
            if host.when_leaves is not None and self.standing.may_relay:
                when = host.when_leaves(entry)
                if when:
                    words += b" " + _one_line(when)

        # Asked again, and counted before the disk works: of many messages begun at once no more than the limit pass.
        now = host.clock.monotonic()
        if not host.guests.may_send(self.origin, self.rules.accept.max_messages_per_client, now):
            return replies.TOO_MANY_MESSAGES
        host.guests.sent(self.origin, now)
        entry = await intake.commit(envelope, message_class=message_class, peer=peer, meanwhile=say)
        if isinstance(entry, bytes):
            host.guests.not_sent(self.origin)
            return entry
        self.reply(words)
        if not self.inbox.buffer:  # else the replies of a group leave together
            self.flush()
        self.has_delivered = True
        self.forget_counts()
        host.journal.record(
            Received(
                id=entry.id,
                reverse_path=envelope.reverse_path,
                recipients=tuple(recipient.address for recipient in envelope.recipients),
                size=entry.size,
                message_class=message_class,
                client=self.client,
                user=self.standing.user,
            )
        )
        return None


def _as_written(arg: str | None) -> str:
    """The address in a refused argument as an event may hold it: what was in the brackets, printable, bounded."""
    _, colon, text = (arg or "").partition(":")
    text = (text if colon else arg or "").strip(" ")
    if text.startswith("<"):
        text = text[1:].partition(">")[0]
    return "".join(c if c.isprintable() else "?" for c in text[:256])


def _one_line(text: str) -> bytes:
    """Text for a reply: printable ASCII, bounded."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:400]).encode()


Session.verbs.update(
    {
        name: getattr(Session, "smtp_" + name)
        for name in (
            *("EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"),
            *("RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT"),
        )
    }
)
