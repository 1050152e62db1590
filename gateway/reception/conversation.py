"""All of SMTP that is not mail: greeting, extensions, small talk, STARTTLS, AUTH, and how much of it one may say.

Stands between `connection`, which knows octets and time, and `session`, which knows transactions. Verbs are aiosmtpd's
`smtp_VERB` methods; `arg` is what follows the verb, as UTF-8 with surrogate escapes, None where nothing does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from aiosmtpd.smtp import Session as SmtpState
from aiosmtpd.smtp import syntax

from gateway.reception import auth, policy, replies
from gateway.reception.connection import Connection, Hangup
from gateway.reception.guests import Claim
from gateway.reception.host import Host, Rules
from gateway.reception.policy import Standing

MAX_CHATTER = 100
MAX_RESETS = 100
MAX_UNKNOWN = 10
MAX_ERRORS = 100
"""What a client may say between two messages without getting anywhere; then 421 (CASES S58)."""

_HTTP = re.compile(r"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|CONNECT|PATCH|TRACE|PRI) .* HTTP/", re.IGNORECASE)
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_STRICT_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}")

Verb = Callable[[Any, str | None], Coroutine[Any, Any, None]]


class Conversation(Connection):
    """One client's standing, and the commands that do not touch a message."""

    verbs: ClassVar[dict[str, Verb]] = {}
    """By name in capitals; filled once, by the class that knows them all."""

    standing = Standing()
    own_addresses: tuple[str, ...] = ()
    failures = 0
    has_begun = False  # a MAIL was accepted
    has_delivered = False  # a message was
    is_signing_in = False
    _chatter = _resets = _unknowns = _errors = 0

    def __init__(self, host: Host, rules: Rules, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(host, loop)
        self.rules = rules
        self.state = self.session = SmtpState(loop)

    # What the connection asks.

    async def open(self) -> None:
        accept = self.rules.accept
        if not policy.is_within(self.rules.listen.networks, self.address):
            self.tell(replies.NOT_FOR_YOU)
            raise Hangup(replies.NOT_FOR_YOU, linger=False)
        refusal = self.host.guests.admit(
            self,
            limit=accept.max_connections,
            limit_per_client=accept.max_connections_per_client,
            preferred=self.standing.listed,
        )
        if refusal is not None:
            self.tell(refusal)
            raise Hangup(refusal, linger=False)
        if self.host.is_stopping:
            raise Hangup(replies.SHUTTING_DOWN, linger=False)
        if self.rules.listen.tls == "implicit":
            await self._secure()
        self.reply(f"220 {self.rules.hostname} ESMTP".encode())

    async def obey(self, line: bytes) -> None:
        if line == b"\n":
            self.unknown(replies.TOO_LONG)
            return
        if b"\0" in line or b"\r" in line:
            self.wrong(replies.NUL_COMMAND if b"\0" in line else replies.BARE_CR_COMMAND)
            return
        verb, _, rest = line.decode("utf-8", "surrogateescape").partition(" ")
        method = self.verbs.get(verb.upper()) if verb.isascii() else None  # "maıl" in capitals is MAIL
        if method is not None:
            await method(self, rest.rstrip(" ") or None)
            return
        if _HTTP.match(line.decode("latin-1")):
            self.tell(replies.NOT_MAIL)
            raise Hangup(replies.NOT_MAIL)
        self.unknown(replies.UNKNOWN if verb.isascii() and verb.isalnum() else replies.SYNTAX)

    @property
    def patience(self) -> float:
        if self.has_delivered or (self.has_begun and self.standing.may_relay):
            return self.timers.command
        return self.timers.first_mail

    @property
    def claim(self) -> Claim:
        if not self.is_in_suspense or (self.has_begun and self.standing.may_relay):
            return Claim.FIRM
        return Claim.STRANGER if self.has_begun else Claim.IDLE

    def recognize(self) -> str:
        # The office's own devices are told apart, also where they share a /64.
        self.standing = Standing(listed=policy.is_within(self.rules.accept.networks, self.address))
        return self.client if self.standing.listed else policy.origin_of(self.address)

    def accepts_bare_lf(self) -> bool:
        return policy.repairs(self.rules.accept.line_endings, self.standing)

    def accepts_long_lines(self) -> bool:
        return self.is_signing_in

    async def forget(self) -> None:
        """End the transaction, whatever it holds."""
        raise NotImplementedError

    @property
    def is_in_transaction(self) -> bool:
        raise NotImplementedError

    # Greeting and small talk.

    @syntax("EHLO name")
    async def smtp_EHLO(self, arg: str | None) -> None:
        if not await self._greet(arg, extended=True):
            return
        words = [self.rules.hostname, *self.extensions()]
        for word in words[:-1]:
            self.reply(b"250-" + word.encode())
        self.reply(b"250 " + words[-1].encode())

    @syntax("HELO name")
    async def smtp_HELO(self, arg: str | None) -> None:
        if await self._greet(arg, extended=False):
            self.reply(b"250 " + self.rules.hostname.encode())

    @property
    def max_message(self) -> int:
        """Octets of the largest message taken: our own limit, or what the relay said it takes if that is less."""
        offers = self.host.relay_offers() if self.host.relay_offers is not None else None
        own = self.rules.accept.max_message
        if offers is None or offers.size is None:
            return own
        return min(own, max(1, offers.size - 1024))  # our Received field travels too; and SIZE 0 would mean: any

    @property
    def takes_smtputf8(self) -> bool:
        """False if the relay said that it could not carry such a message."""
        offers = self.host.relay_offers() if self.host.relay_offers is not None else None
        return offers is None or offers.smtputf8

    def extensions(self) -> list[str]:
        """What EHLO offers to this client now."""
        accept = self.rules.accept
        words = ["PIPELINING", "CHUNKING", f"SIZE {self.max_message}", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"]
        if self.takes_smtputf8:
            words.append("SMTPUTF8")
        words.append("DELIVERBY")
        # STARTTLS and AUTH are never the last line: there are clients that look for them only where more lines follow.
        if self.rules.listen.tls == "starttls" and self.tls is None:
            words.append("STARTTLS")
        if self.rules.users is not None and self.tls is not None:
            words.append("AUTH " + " ".join(auth.MECHANISMS))
        limits = f"LIMITS RCPTMAX={accept.max_recipients}"
        if accept.max_messages_per_client is not None:
            limits += f" MAILMAX={accept.max_messages_per_client}"
        words.append(limits)
        return words

    async def _greet(self, name: str | None, *, extended: bool) -> bool:
        self.count_chatter()
        # What is taken may be odd, since the office's devices are; it is shown as data and, unless it is a host name or
        # literal, not in the Received field. Strangers have to be what the standard says.
        known = name is not None and (_NAME if self.standing.listed else _STRICT_NAME).fullmatch(name)
        if not known:
            self.wrong(replies.BAD_HELO)
            return False
        await self.forget()
        self.state.host_name = name
        self.state.extended_smtp = extended
        return True

    @syntax("NOOP")
    async def smtp_NOOP(self, arg: str | None) -> None:
        del arg
        self.count_chatter()
        self.reply(replies.OK)

    @syntax("RSET")
    async def smtp_RSET(self, arg: str | None) -> None:
        if arg:
            self.wrong(replies.NO_ARGUMENT)
            return
        self._resets += 1
        if self._resets > MAX_RESETS:
            raise Hangup(replies.TOO_MANY_COMMANDS)
        await self.forget()
        self.reply(replies.OK)

    @syntax("VRFY address")
    async def smtp_VRFY(self, arg: str | None) -> None:
        self.count_chatter()
        if arg:
            self.reply(replies.CANNOT_VERIFY)
        else:
            self.wrong(replies.BAD_PARAMETER)

    @syntax("EXPN list")
    async def smtp_EXPN(self, arg: str | None) -> None:
        del arg
        self.count_chatter()
        self.reply(replies.NOT_BUILT)

    @syntax("HELP [verb]")
    async def smtp_HELP(self, arg: str | None) -> None:
        self.count_chatter()
        method = self.verbs.get((arg or "").upper())
        if method is not None:
            self.reply(b"214 2.0.0 " + getattr(method, "__smtp_syntax__", "").encode())
        else:
            self.reply(b"214 2.0.0 " + " ".join(sorted(self.verbs)).encode())

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str | None) -> None:
        if arg:
            self.wrong(replies.NO_ARGUMENT)
            return
        raise Hangup(b"221 2.0.0 bye", linger=False)

    # TLS.

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if arg:
            self.wrong(replies.NO_ARGUMENT)
            return
        if self.tls is not None:
            self.wrong(replies.TLS_ALREADY)
            return
        if self.rules.tls is None:
            self.wrong(replies.NOT_BUILT)
            return
        self.count_chatter()
        self.reply(replies.START_TLS)
        await self._secure()

    async def _secure(self) -> None:
        """Speak TLS from here; nothing that was said or sent before counts any more (RFC 3207 4.2)."""
        assert self.rules.tls is not None
        await self.start_tls(self.rules.tls)
        await self.forget()
        self.state.host_name = None
        self.state.extended_smtp = False
        self.standing = Standing(listed=self.standing.listed)
        self.own_addresses = ()

    # AUTH.

    @syntax("AUTH mechanism [initial-response]")
    async def smtp_AUTH(self, arg: str | None) -> None:
        refusal = self._judge_auth(arg)
        if refusal is None:
            mechanism, _, initial = (arg or "").partition(" ")
            found = await auth.sign_in(self, mechanism.upper(), initial.strip() or None)
            if not isinstance(found, bytes):
                self.standing = Standing(listed=self.standing.listed, user=found.name)
                self.own_addresses = found.own_addresses
                self.reply(replies.AUTH_OK)
                return
            refusal = found
        if refusal == replies.AUTH_BLOCKED or self.failures >= auth.MAX_FAILURES:
            self.tell(refusal)
            raise Hangup(refusal)
        self.wrong(refusal)

    def _judge_auth(self, arg: str | None) -> bytes | None:
        if self.rules.listen.auth == "none":
            return replies.NOT_BUILT
        if self.tls is None:
            return replies.AUTH_NEEDS_TLS
        if not self.state.host_name or not self.state.extended_smtp:
            return replies.HELO_FIRST
        if self.is_in_transaction:
            return replies.AUTH_IN_MAIL
        if self.standing.user is not None:
            return replies.AUTH_TOO_OFTEN
        if self.rules.users is None:
            return replies.AUTH_LATER
        mechanism, _, initial = (arg or "").partition(" ")
        if not mechanism or not mechanism.isascii() or " " in initial.strip():
            return replies.BAD_PARAMETER
        if mechanism.upper() not in auth.MECHANISMS:
            return replies.UNKNOWN_MECHANISM
        return None

    async def challenge(self, words: bytes) -> bytes:
        """One step of an AUTH exchange. Raises auth.Cancelled."""
        self.reply(auth.challenge_line(words))
        self.is_signing_in = True
        try:
            line = await self.next_line()
        finally:
            self.is_signing_in = False
        if line == b"\n":
            raise auth.Cancelled(replies.TOO_LONG)
        return auth.decode_answer(line)

    # Counts.

    def forget_counts(self) -> None:
        """A message was accepted: what was said before it is forgiven."""
        self._chatter = self._resets = self._unknowns = self._errors = 0

    def count_chatter(self) -> None:
        """One more command that moves no mail. Raises Hangup beyond the bound, as the next two do."""
        self._chatter += 1
        if self._chatter > MAX_CHATTER:
            raise Hangup(replies.TOO_MANY_COMMANDS)

    def wrong(self, reply: bytes, *, reverse_path: str | None = None, to: str | None = None) -> None:
        """Refuse a command that was understood."""
        self._errors += 1
        if self._errors > MAX_ERRORS:
            raise Hangup(replies.TOO_MANY_ERRORS)
        self.refuse(reply, reverse_path=reverse_path, to=to)

    def unknown(self, reply: bytes) -> None:
        """Refuse a command that was not."""
        self._unknowns += 1
        if self._unknowns > MAX_UNKNOWN:
            raise Hangup(replies.TOO_MANY_ERRORS)
        self.refuse(reply)
