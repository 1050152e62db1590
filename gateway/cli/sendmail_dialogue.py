"""`sendmail -bs`: SMTP on standard input and output, for programs that would rather talk.

Where the gateway answers, the octets go to it and back. Where it does not, and the spool is the caller's, this is a small SMTP
server of its own (RFC 5321 4.5.1, with 8BITMIME, SIZE and PIPELINING), whose 250 means that the message is safe in the drop
folder.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
from typing import BinaryIO

from gateway.cli.sendmail_handing import Letter, NotSafe, drop
from gateway.cli.sendmail_message import BadMessage, qualified, with_crlf
from gateway.config.brief import Brief
from gateway.errors import Exit, GatewayError, SpoolError
from gateway.spool.dropfile import check_spool

BLOCK = 64 * 1024
MAX_LINE = 4096
MAX_ERRORS = 100
CONNECT_TIMEOUT = 10.0

_MAIL = re.compile(rb"FROM:\s*<([^<>\s]*)>((?: +[A-Za-z0-9-]+(?:=[!-<>-~]+)?)*) *", re.IGNORECASE)
_RCPT = re.compile(rb"TO:\s*<([^<>\s]+)> *", re.IGNORECASE)


def speak(brief: Brief, user: str) -> int:
    """One dialogue, to its QUIT or the end of standard input."""
    connection = _connect(brief)
    if connection is not None:
        with connection:
            _relay(connection)
        return Exit.OK
    try:
        check_spool(brief.spool)
    except SpoolError as closed:
        _answer(f"421 4.3.2 the gateway is not running; {closed}")
        raise
    Server(brief, user, sys.stdin.buffer).serve()
    return Exit.OK


def _connect(brief: Brief) -> socket.socket | None:
    for address in brief.listeners:
        try:
            connection = socket.create_connection(address, CONNECT_TIMEOUT)
        except OSError:
            continue
        connection.settimeout(None)
        return connection
    return None


def _relay(connection: socket.socket) -> None:
    """Octets both ways until the gateway has said its last. The end of our input is passed on: it answers and closes."""
    sources = [0, connection.fileno()]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if 0 in ready:
            octets = os.read(0, BLOCK)
            if octets:
                connection.sendall(octets)
            else:
                sources.remove(0)
                connection.shutdown(socket.SHUT_WR)
        if connection.fileno() in ready:
            octets = connection.recv(BLOCK)
            if not octets:
                return
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()


def _answer(*lines: str) -> None:
    sys.stdout.buffer.write("".join(line + "\r\n" for line in lines).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


class Server:
    """The small server. `stream`: what the client says."""

    def __init__(self, brief: Brief, user: str, stream: BinaryIO) -> None:
        self._brief, self._user, self._stream = brief, user, stream
        self._greeted = False
        self._says_crlf = True
        self._errors = 0
        self._forget()

    def _forget(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._body: str | None = None

    def serve(self) -> None:
        _answer(f"220 {self._brief.hostname} ESMTP")
        while self._errors < MAX_ERRORS:
            line = self._stream.readline(MAX_LINE)
            if not line:
                return
            if not line.endswith(b"\n"):
                self._skip_line()
                self._wrong("500 5.5.2 line too long")
                continue
            self._says_crlf = line.endswith(b"\r\n")
            verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
            if verb.upper() == b"QUIT":
                _answer("221 2.0.0 bye")
                return
            self._obey(verb.upper(), rest.strip())
        _answer("421 4.7.0 too many errors")

    def _skip_line(self) -> None:
        while (piece := self._stream.readline(MAX_LINE)) and not piece.endswith(b"\n"):
            pass

    def _wrong(self, reply: str) -> None:
        self._errors += 1
        _answer(reply)

    def _obey(self, verb: bytes, rest: bytes) -> None:
        match verb:
            case b"EHLO" | b"HELO":
                self._forget()
                self._greeted = True
                if verb == b"HELO":
                    _answer(f"250 {self._brief.hostname}")
                else:
                    size = f"SIZE {self._brief.max_message}"
                    words = (self._brief.hostname, "PIPELINING", size, "8BITMIME", "ENHANCEDSTATUSCODES")
                    _answer(*(f"250-{word}" for word in words), "250 SMTPUTF8")
            case b"MAIL":
                self._mail(rest)
            case b"RCPT":
                self._rcpt(rest)
            case b"DATA":
                self._data()
            case b"RSET":
                self._forget()
                _answer("250 2.0.0 forgotten")
            case b"NOOP":
                _answer("250 2.0.0 ok")
            case b"VRFY":
                _answer("252 2.0.0 send to it and see")
            case _:
                self._wrong("500 5.5.1 unknown command")

    def _mail(self, rest: bytes) -> None:
        found = _MAIL.fullmatch(rest)
        if not self._greeted or self._sender is not None:
            self._wrong("503 5.5.1 EHLO first" if not self._greeted else "503 5.5.1 a message is begun already")
            return
        if found is None:
            self._wrong("501 5.5.4 MAIL FROM:<address>")
            return
        body = None
        for parameter in found[2].decode().upper().split():
            name, _, value = parameter.partition("=")
            if name == "SIZE" and value.isdigit():
                if len(value) > 15 or int(value) > self._brief.max_message:
                    self._wrong(f"552 5.3.4 at most {self._brief.max_message} octets are taken")
                    return
            elif name == "BODY" and value in ("7BIT", "8BITMIME"):
                body = value
            elif parameter != "SMTPUTF8":
                self._wrong("555 5.5.4 this parameter is not known")
                return
        try:
            self._sender = self._address(found[1]) if found[1] else ""
        except BadMessage as exc:
            self._wrong(f"553 5.1.7 {exc}")
            return
        self._body = body
        _answer("250 2.1.0 ok")

    def _rcpt(self, rest: bytes) -> None:
        found = _RCPT.fullmatch(rest)
        if self._sender is None:
            self._wrong("503 5.5.1 MAIL first")
        elif found is None:
            self._wrong("501 5.5.4 RCPT TO:<address>")
        elif len(self._recipients) >= self._brief.max_recipients:
            self._wrong("452 4.5.3 too many recipients")
        else:
            try:
                self._recipients.append(self._address(found[1]))
            except BadMessage as exc:
                self._wrong(f"553 5.1.3 {exc}")
                return
            _answer("250 2.1.5 ok")

    def _address(self, octets: bytes) -> str:
        return qualified(octets.decode("utf-8", "surrogateescape"), self._brief.hostname)

    def _data(self) -> None:
        if self._sender is None or not self._recipients:
            self._wrong("503 5.5.1 no recipients")
            return
        _answer("354 end with a dot on a line of its own")
        content = self._content()
        if content is None:
            return
        sender, recipients, body = self._sender, self._recipients, self._body
        self._forget()
        if len(content) > self._brief.max_message:
            self._wrong(f"552 5.3.4 at most {self._brief.max_message} octets are taken")
            return
        letter = Letter(sender, [{"address": to} for to in recipients], content, user=self._user, body=body)
        try:
            drop(self._brief, letter)
        except NotSafe as exc:
            _answer(f"452 4.3.1 {exc}")
        except GatewayError as exc:
            _answer(f"451 4.3.0 {exc}")
        else:
            _answer("250 2.0.0 safe; it is sent when the gateway runs")

    def _content(self) -> bytes | None:
        """What stands before the dot, with CR LF line ends; None where the input ended too early.

        A client that ends its commands with CR LF ends its message so too: no other dot is believed. Beyond the bound octets
        are read and dropped.
        """
        newline = b"\r\n" if self._says_crlf else b"\n"
        pieces: list[bytes] = []
        size, limit = 0, self._brief.max_message
        tail = newline
        while piece := self._stream.readline(BLOCK):
            at_start = tail.endswith(newline)
            if at_start and piece.rstrip(b"\r\n") == b"." and piece.endswith(newline):
                return with_crlf(b"".join(pieces))
            tail = (tail + piece)[-2:]
            if at_start and piece.startswith(b"."):
                piece = piece[1:]
            if size <= limit:
                pieces.append(piece)
                size += len(piece)
        return None
