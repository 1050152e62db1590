"""Where a message goes that a program of this machine hands in: into the spool's drop folder, or by SMTP to the gateway.

Whoever may write into the spool (its owner, root) uses the drop folder, whether the gateway runs or not, and tells it.
Everybody else speaks SMTP to the gateway's listener on this machine, and is told plainly when nobody answers there.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence

from gateway.cli.sendmail_smtp import Dialogue, Unreachable
from gateway.config.brief import Brief
from gateway.control.paths import reachable
from gateway.durable import Disk
from gateway.errors import Exit, GatewayError, SpoolError
from gateway.spool.dropfile import NoSpool, NotYours, check_spool, write_drop

TELL_TIMEOUT = 5.0
MAX_ANSWER = 64 * 1024


class NotSafe(GatewayError):
    """The message is not with us; the caller keeps it and may come again."""

    exit_code = Exit.TEMP_FAIL


class Letter:
    """What is handed in. `recipients`: mappings with `address` and perhaps `notify`. `content`: with CR LF line ends."""

    __slots__ = ("body", "content", "envid", "recipients", "ret", "reverse_path", "user")

    def __init__(
        self,
        reverse_path: str,
        recipients: Sequence[Mapping[str, str]],
        content: bytes,
        *,
        user: str,
        body: str | None = None,
        ret: str | None = None,
        envid: str | None = None,
    ) -> None:
        self.reverse_path, self.recipients, self.content, self.user = reverse_path, recipients, content, user
        self.body = body or (None if content.isascii() else "8BITMIME")
        self.ret, self.envid = ret, envid

    @property
    def smtputf8(self) -> bool:
        return not (self.reverse_path.isascii() and all(to["address"].isascii() for to in self.recipients))


def hand_in(brief: Brief, letter: Letter) -> str:
    """Make it safe; in words, where it is. When this returns the message survives a cut. Raises GatewayError."""
    try:
        check_spool(brief.spool)
    except (NoSpool, NotYours) as closed:
        return _by_smtp(brief, letter, closed)
    return drop(brief, letter)


def drop(brief: Brief, letter: Letter) -> str:
    """Into the drop folder, and tell the gateway. Raises NotYours, or NotSafe for trouble with the disk."""
    try:
        path = write_drop(
            Disk(),
            brief.spool,
            letter.content,
            reverse_path=letter.reverse_path,
            recipients=letter.recipients,
            user=letter.user,
            body=letter.body,
            smtputf8=letter.smtputf8,
            ret=letter.ret,
            envid=letter.envid,
            reserve=brief.reserve,
        )
    except NotYours:
        raise
    except SpoolError as exc:
        raise NotSafe(str(exc)) from exc
    tell(brief.spool)
    return path


def tell(spool: str) -> None:
    """Ask a running gateway to take it in now, and wait a little until it has. It finds it by itself later, or at its start."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TELL_TIMEOUT)
        try:
            with reachable(f"{spool}/control.sock") as address:
                connection.connect(address)
            connection.sendall(json.dumps({"op": "drop"}).encode() + b"\n")
            read = 0
            while read < MAX_ANSWER and (piece := connection.recv(4096)):
                read += len(piece)
                if piece.endswith((b'{"end":true}\n', b"}\n")) and b'"end"' in piece:
                    return
        except OSError:
            return  # it does not run, or is busy: the file waits for it


def _by_smtp(brief: Brief, letter: Letter, closed: SpoolError) -> str:
    parameters = [f"BODY={letter.body}"] if letter.body else []
    parameters += ["SMTPUTF8"] if letter.smtputf8 else []
    parameters += [f"RET={letter.ret}"] if letter.ret else []
    parameters += [f"ENVID={letter.envid}"] if letter.envid else []
    try:
        dialogue = connect(brief)
    except Unreachable as away:
        raise NotSafe(f"{away}; and {closed}") from away
    try:
        return dialogue.hand_in(
            letter.content,
            hostname="localhost",
            reverse_path=letter.reverse_path,
            recipients=letter.recipients,
            parameters=parameters,
        )
    finally:
        dialogue.close()


def connect(brief: Brief) -> Dialogue:
    """An SMTP dialogue with the gateway. Raises Unreachable with what the last address said, or another refusal."""
    if not brief.listeners:
        raise Unreachable("the gateway listens on no address that a program may use without signing in")
    for address in brief.listeners[:-1]:
        try:
            return Dialogue(address)
        except Unreachable:
            continue
    return Dialogue(brief.listeners[-1])
