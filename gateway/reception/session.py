"""What the verbs of SMTP mean here (RFC 5321, 1870, 2034, 2920, 6152, 3461, 6531), for one client.

Answers for the order of commands, the transaction and its replies. What a client may do is decided in `policy`, what
its arguments say in `parameters`, what its octets are in `content`; disk is the spool's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from aiosmtpd.smtp import Session as SmtpState
from aiosmtpd.smtp import syntax

from gateway.errors import SpoolError
from gateway.events import Alarm, Received
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.reception import policy, replies
from gateway.reception.classify import classify
from gateway.reception.connection import Connection, Hangup
from gateway.reception.content import DotReader
from gateway.reception.host import Host, Rules
from gateway.reception.intake import Intake, refusal_of
from gateway.reception.parameters import MailArguments, Offers, read_mail, read_rcpt
from gateway.reception.policy import Standing
from gateway.reception.received import came_straight_from, from_clause, heads, protocol_word
from gateway.reception.replies import Refusal

MAX_CHATTER = 100
MAX_RESETS = 100
MAX_UNKNOWN = 10
MAX_ERRORS = 100
"""What a client may say between two messages without getting anywhere; then 421 (CASES S58)."""

_HTTP = re.compile(r"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|CONNECT|PATCH|TRACE|PRI) .* HTTP/", re.IGNORECASE)
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_STRICT_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}")


class Session(Connection):
    """One client, from its greeting to its end."""

    def __init__(self, host: Host, rules: Rules, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(host, loop)
        self.rules = rules
        self.state = self.session = SmtpState(loop)
        self.standing = Standing()
        self.mail: MailArguments | None = None
        self.recipients: list[Recipient] = []
        self.intake: Intake | None = None
        self.is_taking = False
        self._refused_recipients = False
        self._has_begun = False
        self._has_delivered = False
        self._forget_counts()

    # What the connection asks.

    async def open(self) -> None:
        accept = self.rules.accept
        if not policy.is_within(self.rules.listen.networks, self.address):
            self.tell(replies.NOT_FOR_YOU)
            raise Hangup(replies.NOT_FOR_YOU)
        self.standing = Standing(listed=policy.is_within(accept.networks, self.address))
        refusal = self.host.guests.admit(
            self,
            limit=accept.max_connections,
            limit_per_client=accept.max_connections_per_client,
            preferred=self.standing.listed,
        )
        if refusal is not None:
            self.tell(refusal)
            raise Hangup(refusal)
        if self.host.is_stopping:
            raise Hangup(replies.SHUTTING_DOWN)
        self.reply(f"220 {self.rules.hostname} ESMTP".encode())

    async def obey(self, line: bytes) -> None:
        if line == b"\n":
            self._unknown(replies.TOO_LONG)
            return
        if b"\0" in line or b"\r" in line:
            self._wrong(replies.NUL_COMMAND if b"\0" in line else replies.BARE_CR_COMMAND)
            return
        verb, _, rest = line.decode("utf-8", "surrogateescape").partition(" ")
        method = _VERBS.get(verb.upper())
        if method is not None:
            await method(self, rest.rstrip(" ") or None)
            return
        if _HTTP.match(line.decode("latin-1")):
            self.tell(replies.NOT_MAIL)
            raise Hangup(replies.NOT_MAIL)
        self._unknown(replies.UNKNOWN if verb.isascii() and verb.isalnum() else replies.SYNTAX)

    async def end(self) -> None:
        await self._forget()

    @property
    def patience(self) -> float:
        if self._has_delivered or (self._has_begun and self.standing.may_relay):
            return self.timers.command
        return self.timers.first_mail

    @property
    def is_idle(self) -> bool:
        return not self._has_begun and self.inbox.is_waiting

    def accepts_bare_lf(self) -> bool:
        return policy.repairs(self.rules.accept.line_endings, self.standing)

    # Greeting and small talk.

    @syntax("EHLO name")
    async def smtp_EHLO(self, arg: str | None) -> None:
        if not await self._greet(arg, extended=True):
            return
        words = self.extensions()
        for word in (self.rules.hostname, *words[:-1]):
            self.reply(b"250-" + word.encode())
        self.reply(b"250 " + words[-1].encode())

    @syntax("HELO name")
    async def smtp_HELO(self, arg: str | None) -> None:
        if await self._greet(arg, extended=False):
            self.reply(b"250 " + self.rules.hostname.encode())

    def extensions(self) -> list[str]:
        """What EHLO offers to this client now."""
        return [
            "PIPELINING",
            f"SIZE {self.rules.accept.max_message}",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
        ]

    async def _greet(self, name: str | None, *, extended: bool) -> bool:
        self._count_chatter()
        # What is taken may be odd, since the office's devices are; it is shown as data and, unless it is a host name or
        # literal, not in the Received field. Strangers have to be what the standard says.
        known = name is not None and (_NAME if self.standing.listed else _STRICT_NAME).fullmatch(name)
        if not known:
            self._wrong(replies.BAD_HELO)
            return False
        await self._forget()
        self.state.host_name = name
        self.state.extended_smtp = extended
        return True

    @syntax("NOOP")
    async def smtp_NOOP(self, arg: str | None) -> None:
        del arg
        self._count_chatter()
        self.reply(replies.OK)

    @syntax("RSET")
    async def smtp_RSET(self, arg: str | None) -> None:
        if arg:
            self._wrong(replies.NO_ARGUMENT)
            return
        self._resets += 1
        if self._resets > MAX_RESETS:
            raise Hangup(replies.TOO_MANY_COMMANDS)
        await self._forget()
        self.reply(replies.OK)

    @syntax("VRFY address")
    async def smtp_VRFY(self, arg: str | None) -> None:
        self._count_chatter()
        if arg:
            self.reply(replies.CANNOT_VERIFY)
        else:
            self._wrong(replies.BAD_PARAMETER)

    async def smtp_EXPN(self, arg: str | None) -> None:
        del arg
        self._count_chatter()
        self.reply(replies.NOT_BUILT)

    @syntax("HELP")
    async def smtp_HELP(self, arg: str | None) -> None:
        del arg
        self._count_chatter()
        self.reply(b"214 2.0.0 " + " ".join(sorted(_VERBS)).encode())

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str | None) -> None:
        if arg:
            self._wrong(replies.NO_ARGUMENT)
            return
        raise Hangup(b"221 2.0.0 bye", linger=False)

    # The transaction.

    @syntax("MAIL FROM:<address>")
    async def smtp_MAIL(self, arg: str | None) -> None:
        refusal = self._judge_mail(arg)
        if refusal is not None:
            self._wrong(refusal, reverse_path=arg)

    def _judge_mail(self, arg: str | None) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is not None:
            return replies.NESTED_MAIL
        if self.host.is_stopping:
            raise Hangup(replies.SHUTTING_DOWN)
        mail = read_mail(arg or "", extended=self.state.extended_smtp, offers=Offers(smtputf8=False))
        if isinstance(mail, Refusal):
            return mail.reply
        accept = self.rules.accept
        if mail.size is not None and mail.size > accept.max_message:
            return replies.TOO_BIG
        if not self.host.guests.may_send(self.client, accept.max_messages_per_client, self.host.clock.monotonic()):
            return replies.TOO_MANY_MESSAGES
        try:
            free, reserve = self.host.spool.room()
        except SpoolError as error:
            return refusal_of(error)
        if free - (mail.size or 0) < reserve:
            return replies.DISK_FULL
        self.mail = mail
        self._has_begun = True
        self.reply(replies.SENDER_OK)
        return None

    @syntax("RCPT TO:<address>")
    async def smtp_RCPT(self, arg: str | None) -> None:
        refusal = self._judge_recipient(arg)
        if refusal is None:
            self.reply(replies.RECIPIENT_OK)
            return
        self._refused_recipients = True
        if refusal == replies.TOO_MANY_RECIPIENTS:
            self.reply(refusal)  # no mistake of the client's: it sends the rest in another transaction
        else:
            reverse_path = self.mail.path.address if self.mail is not None else None
            self._wrong(refusal, reverse_path=reverse_path, to=arg)

    def _judge_recipient(self, arg: str | None) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is None:
            return replies.MAIL_FIRST
        asked = read_rcpt(arg or "", extended=self.state.extended_smtp, smtputf8=self.mail.smtputf8)
        if isinstance(asked, Refusal):
            if asked.reply == replies.BAD_RECIPIENT and not self.standing.may_relay and "<>" not in (arg or ""):
                return replies.RELAY_DENIED  # another way to write somebody else's address
            return asked.reply
        refusal = policy.judge_recipient(asked.path, self.standing, self.rules.domains)
        if refusal is not None:
            return refusal
        if len(self.recipients) >= self.rules.accept.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        self.recipients.append(Recipient(asked.path.address, asked.notify, asked.orcpt))
        return None

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        refusal = replies.NO_ARGUMENT if arg else self._may_take_content()
        if refusal is None:
            try:
                self.intake = self._begin()
            except SpoolError as error:
                refusal = refusal_of(error)
        if refusal is not None:
            self._wrong(refusal)
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
            await self._take_lines(self.intake)
            await self._conclude(self.intake)
        finally:
            self.is_taking = False

    def _may_take_content(self) -> bytes | None:
        if not self.state.host_name:
            return replies.HELO_FIRST
        if self.mail is None:
            return replies.MAIL_FIRST
        if not self.recipients:
            return replies.NO_RECIPIENTS if self._refused_recipients else replies.RCPT_FIRST
        return None

    def _begin(self) -> Intake:
        assert self.mail is not None
        repair = policy.repairs(self.rules.accept.line_endings, self.standing)
        only = self.recipients[0].address if len(self.recipients) == 1 else None
        host = self.host
        return Intake(
            host.spool,
            heads(
                origin=from_clause(self.state.host_name, str(self.address) if self.address else None),
                hostname=self.rules.hostname,
                token=host.token,
                protocol=protocol_word(
                    extended=self.state.extended_smtp,
                    tls=self.tls is not None,
                    auth=self.standing.user is not None,
                    smtputf8=self.mail.smtputf8,
                ),
                recipient=only,
                now=host.clock.now(),
                clock_not_set=host.clock_not_set is not None and host.clock_not_set(),
                may_repair=repair,
            ),
            limit=self.rules.accept.max_message,
            repair=repair,
        )

    async def _take_lines(self, intake: Intake) -> None:
        reader = DotReader()
        pace = Pace(self)
        most = 2 * self.rules.accept.max_message
        while True:
            block = self.inbox.take()
            if not block:
                await self.more(self.timers.block)
                continue
            pace.count(len(block))
            piece, rest = reader.feed(block)
            await intake.add(piece)
            if rest is not None:
                self.inbox.put_back(rest)
                return
            if intake.octets > most:
                self.tell(replies.TOO_BIG)
                raise Hangup(replies.TOO_BIG)

    async def _conclude(self, intake: Intake) -> None:
        """Answer for the whole content: 250 only once it is safe."""
        await intake.finish()
        refusal = intake.refusal or await self._commit(intake)
        mail = self.mail
        close = intake.was_cut
        await self._forget()
        if refusal is None:
            return
        assert mail is not None
        self.tell(refusal, reverse_path=mail.path.address)
        if close:
            raise Hangup(refusal)
        self.reply(refusal)

    async def _commit(self, intake: Intake) -> bytes | None:
        mail, host = self.mail, self.host
        assert mail is not None
        header = intake.inspection.header
        if came_straight_from(host.token, header):
            host.journal.record(
                Alarm(about="relay", what="a message came straight back: the relay leads to this gateway")
            )
            await intake.abort()
            return replies.LOOPS_NOW
        envelope = Envelope(
            reverse_path=mail.path.address,
            recipients=tuple(self.recipients),
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
        )
        message_class = classify(self.rules.classes, envelope, header)
        if host.refuses is not None:
            why = host.refuses(message_class, intake.inspection.size)
            if why is not None:
                await intake.abort()
                return b"552 5.3.4 " + _one_line(why)
        entry = await intake.commit(
            envelope,
            message_class=message_class,
            peer=Peer(
                address=self.client,
                helo=self.state.host_name,
                user=self.standing.user,
                tls=self.tls is not None,
            ),
        )
        if isinstance(entry, bytes):
            return entry
        host.guests.sent(self.client, host.clock.monotonic())
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
        self._has_delivered = True
        self._forget_counts()
        words = b"250 2.0.0 queued as " + entry.id.encode()
        if host.when_leaves is not None and self.standing.may_relay:
            when = host.when_leaves(entry)
            if when:
                words += b" " + _one_line(when)
        self.reply(words)
        return None

    async def _forget(self) -> None:
        """End the transaction, whatever it holds."""
        self.mail = None
        self.recipients = []
        self._refused_recipients = False
        intake, self.intake = self.intake, None
        if intake is not None:
            await intake.abort()

    # Counts.

    def _forget_counts(self) -> None:
        self._chatter = self._resets = self._unknowns = self._errors = 0

    def _count_chatter(self) -> None:
        self._chatter += 1
        if self._chatter > MAX_CHATTER:
            raise Hangup(replies.TOO_MANY_COMMANDS)

    def _wrong(self, reply: bytes, *, reverse_path: str | None = None, to: str | None = None) -> None:
        self._errors += 1
        if self._errors > MAX_ERRORS:
            raise Hangup(replies.TOO_MANY_ERRORS)
        self.refuse(reply, reverse_path=reverse_path, to=to)

    def _unknown(self, reply: bytes) -> None:
        self._unknowns += 1
        if self._unknowns > MAX_UNKNOWN:
            raise Hangup(replies.TOO_MANY_ERRORS)
        self.refuse(reply)


class Pace:
    """Lets a message go on only while it brings a minimum of octets over each stretch of time (CASES S67)."""

    __slots__ = ("_octets", "_session", "_since")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._since = session.loop.time()
        self._octets = 0

    def count(self, octets: int) -> None:
        """So many octets have come. Raises Hangup when they are too few for the time they took."""
        self._octets += octets
        now = self._session.loop.time()
        window = self._session.timers.rate_window
        if now - self._since < window:
            return
        if self._octets < self._session.timers.minimum_rate * window:
            self._session.tell(replies.TOO_SLOW)
            raise Hangup(replies.TOO_SLOW)
        self._since = now
        self._octets = 0


def _one_line(text: str) -> bytes:
    """Text for a reply: printable ASCII, bounded."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:400]).encode()


_Verb = Callable[[Session, str | None], Coroutine[Any, Any, None]]
_VERBS: dict[str, _Verb] = {
    name: getattr(Session, "smtp_" + name)
    for name in ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT")
}
