"""The arguments of MAIL and RCPT, from octets to values or to the reply that refuses them.

Pure. Values keep the client's case (RFC 3461: ENVID and ORCPT are opaque). What is not known is 555, what is known and
wrong 501. Who may send what is `gateway.reception.policy`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gateway.mail.address import AddressError, Path, read_path, split_mailbox
from gateway.reception import replies
from gateway.reception.replies import Refusal

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[!-<>-~]+")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_SIZE = re.compile(r"[0-9]{1,20}")
_BY = re.compile(r"(-?[0-9]{1,9});([RNrn])([Tt])?")
_ESCAPED = re.compile("[\udc80-\udcff]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\U0010fffd]|\\x\{(?:[0-9A-F]{2,6})\})+")

MAX_ENVID = 100  # RFC 3461 4.4
MAX_ORCPT = 500  # RFC 3461 4.2


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """RFC 2852: seconds from now, and R (return when they have passed) or N (notify)."""

    seconds: int
    mode: Literal["R", "N"]
    trace: bool = False


@dataclass(frozen=True, slots=True)
class MailArguments:
    """What MAIL said. `size` is the declared one in octets, None where none was declared."""

    path: Path
    size: int | None = None
    body: Literal["7BIT", "8BITMIME"] | None = None
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    by: DeliverBy | None = None


@dataclass(frozen=True, slots=True)
class RcptArguments:
    """What RCPT said."""

    path: Path
    notify: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Offers:
    """What the listener advertises of what MAIL and RCPT may carry; the rest is unknown to it."""

    smtputf8: bool = True


def read_mail(argument: str, *, extended: bool, offers: Offers) -> MailArguments | Refusal:
    """The argument of MAIL: all after the verb and its space, decoded as UTF-8 with surrogate escapes.

    `extended`: the client said EHLO.
    """
    found = _read(argument, "FROM:", replies.BAD_MAIL, replies.BAD_SENDER)
    if isinstance(found, Refusal):
        return found
    path, words = found
    if path.domain == "" and path.local:
        return Refusal(replies.BAD_SENDER)  # <postmaster> is a recipient's privilege
    if not words:
        if not path.address.isascii():
            return Refusal(replies.NEEDS_SMTPUTF8)
        return MailArguments(path)
    if not extended:
        return Refusal(replies.UNKNOWN_PARAMETER)
    size: int | None = None
    body: Literal["7BIT", "8BITMIME"] | None = None
    smtputf8 = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    by: DeliverBy | None = None
    for keyword, value in words.items():
        match keyword:
            case "SIZE":
                if value is None or not _SIZE.fullmatch(value):
                    return Refusal(replies.BAD_PARAMETER)
                size = int(value)
            case "BODY":
                kind = (value or "").upper()
                if kind == "7BIT":
                    body = "7BIT"
                elif kind == "8BITMIME":
                    body = "8BITMIME"
                else:
                    return Refusal(replies.BAD_PARAMETER)
            case "SMTPUTF8" if offers.smtputf8:
                if value is not None:
                    return Refusal(replies.BAD_PARAMETER)
                smtputf8 = True
            case "RET":
                kind = (value or "").upper()
                if kind == "FULL":
                    ret = "FULL"
                elif kind == "HDRS":
                    ret = "HDRS"
                else:
                    return Refusal(replies.BAD_PARAMETER)
            case "ENVID":
                if not value or len(value) > MAX_ENVID or not is_printable_xtext(value):
                    return Refusal(replies.BAD_PARAMETER)
                envid = value
            case "BY":
                by = _read_by(value or "")
                if by is None:
                    return Refusal(replies.BAD_PARAMETER)
            case "AUTH":  # RFC 4954 5: understood, and believed of nobody
                if not value or not _is_auth_value(value):
                    return Refusal(replies.BAD_PARAMETER)
            case _:
                return Refusal(replies.UNKNOWN_PARAMETER)
    if not smtputf8 and not path.address.isascii():
        return Refusal(replies.NEEDS_SMTPUTF8)
    return MailArguments(path, size, body, smtputf8, ret, envid, by)


def read_rcpt(argument: str, *, extended: bool, smtputf8: bool) -> RcptArguments | Refusal:
    """The argument of RCPT. `smtputf8`: MAIL of this transaction asked for it."""
    found = _read(argument, "TO:", replies.BAD_RCPT, replies.BAD_RECIPIENT)
    if isinstance(found, Refusal):
        return found
    path, words = found
    if not path.address:
        return Refusal(replies.BAD_RECIPIENT)
    if not smtputf8 and not path.address.isascii():
        return Refusal(replies.NEEDS_SMTPUTF8)
    if not words:
        return RcptArguments(path)
    if not extended:
        return Refusal(replies.UNKNOWN_PARAMETER)
    notify: str | None = None
    orcpt: str | None = None
    for keyword, value in words.items():
        match keyword:
            case "NOTIFY":
                if not value or not _is_notify(value):
                    return Refusal(replies.BAD_PARAMETER)
                notify = value
            case "ORCPT":
                if not value or len(value.encode()) > MAX_ORCPT or not _is_orcpt(value, smtputf8):
                    return Refusal(replies.BAD_PARAMETER)
                orcpt = value
            case _:
                return Refusal(replies.UNKNOWN_PARAMETER)
    return RcptArguments(path, notify, orcpt)


def is_printable_xtext(value: str) -> bool:
    """True if `value` is xtext (RFC 3461 4) and stands for printable ASCII: no `+0A` smuggles a line end into a report."""
    if not _XTEXT.fullmatch(value):
        return False
    return all(32 <= int(pair, 16) <= 126 for pair in _HEX.findall(value))


def decode_xtext(value: str) -> str:
    """What the xtext stands for; `value` must be printable xtext."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), value)


def _read(
    argument: str, word: str, bad_form: bytes, bad_address: bytes
) -> tuple[Path, dict[str, str | None]] | Refusal:
    if argument[: len(word)].upper() != word:
        return Refusal(bad_form)
    if not argument.isascii() and _ESCAPED.search(argument):
        # Not even UTF-8: whatever it is, no extension of ours makes it an address.
        return Refusal(replies.NEEDS_SMTPUTF8)
    text = argument[len(word) :]
    text = text.lstrip(" ")  # RFC 5321 3.3 forbids the space; too many scanners write it
    try:
        path, rest = read_path(text)
    except AddressError:
        return Refusal(bad_address)
    if not rest:
        return path, {}
    if rest[0] != " ":
        return Refusal(bad_address)
    words: dict[str, str | None] = {}
    for item in rest.split(" "):
        if not item:
            continue
        keyword, equals, value = item.partition("=")
        name = keyword.upper()
        if not _KEYWORD.fullmatch(keyword) or name in words:
            return Refusal(replies.BAD_PARAMETER)
        if equals and not _VALUE.fullmatch(value) and not (name == "ORCPT" and value):
            return Refusal(replies.BAD_PARAMETER)
        words[name] = value if equals else None
    return path, words


def _read_by(value: str) -> DeliverBy | None:
    found = _BY.fullmatch(value)
    if found is None:
        return None
    seconds = int(found[1])
    mode: Literal["R", "N"] = "R" if found[2] in "Rr" else "N"
    if mode == "R" and seconds <= 0:  # RFC 2852 4: there is nothing left to be in time for
        return None
    return DeliverBy(seconds, mode, found[3] is not None)


def _is_auth_value(value: str) -> bool:
    if value == "<>":
        return True
    if not is_printable_xtext(value):
        return False
    try:
        split_mailbox(decode_xtext(value))
    except AddressError:
        return False
    return True


def _is_notify(value: str) -> bool:
    words = value.upper().split(",")
    return words == ["NEVER"] or (
        len(set(words)) == len(words) and all(word in ("SUCCESS", "FAILURE", "DELAY") for word in words)
    )


def _is_orcpt(value: str, smtputf8: bool) -> bool:
    kind, semicolon, address = value.partition(";")
    if not semicolon or not address or not _ATOM.fullmatch(kind):
        return False
    if kind.lower() == "utf-8":  # RFC 6533 3: utf-8-addr-xtext, or unitext where SMTPUTF8 was asked for
        return _UNITEXT.fullmatch(address) is not None and (smtputf8 or address.isascii())
    return is_printable_xtext(address)
