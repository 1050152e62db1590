"""MAIL and RCPT as octets, and what a relay cannot take, said before a single octet is spent on it."""

from __future__ import annotations

from gateway.courier.capabilities import Capabilities
from gateway.mail.envelope import Envelope, Recipient
from gateway.mail.outcome import Failed, Outcome, Reply


def mail_command(envelope: Envelope, size: int, offers: Capabilities, by: str | None = None) -> bytes:
    """With the parameters that this relay offers (RFC 1870, 6152, 6531, 3461, 2852), CRLF at the end."""
    words = [b"MAIL FROM:<" + envelope.reverse_path.encode() + b">"]
    if offers.sizes:
        words.append(b"SIZE=%d" % size)
    if offers.eightbitmime and envelope.body == "8BITMIME":
        words.append(b"BODY=8BITMIME")
    if offers.smtputf8 and (envelope.smtputf8 or needs_utf8(envelope)):
        words.append(b"SMTPUTF8")
    if offers.dsn:
        if envelope.ret is not None:
            words.append(b"RET=" + envelope.ret.encode())
        if envelope.envid is not None:
            words.append(b"ENVID=" + envelope.envid.encode())
    if offers.deliver_by and by is not None:
        words.append(b"BY=" + by.encode())
    return b" ".join(words) + b"\r\n"


def rcpt_command(recipient: Recipient, offers: Capabilities) -> bytes:
    words = [b"RCPT TO:<" + recipient.address.encode() + b">"]
    if offers.dsn:
        if recipient.notify is not None:
            words.append(b"NOTIFY=" + recipient.notify.encode())
        if recipient.orcpt is not None:
            words.append(b"ORCPT=" + recipient.orcpt.encode())
    return b" ".join(words) + b"\r\n"


def needs_utf8(envelope: Envelope) -> bool:
    """True if an address cannot be written in ASCII (RFC 6531 3.2)."""
    return not envelope.reverse_path.isascii() or not all(r.address.isascii() for r in envelope.recipients)


def refuse_beforehand(envelope: Envelope, size: int, offers: Capabilities) -> list[Outcome | None]:
    """One entry a recipient: Failed where this relay can never take it, else None."""
    if offers.size is not None and size > offers.size:
        too_big = Reply(552, f"5.3.4 the message has {size} octets, the relay takes at most {offers.size}")
        return [Failed(too_big) for _ in envelope.recipients]
    if offers.smtputf8:
        return [_unspeakable(envelope, recipient) for recipient in envelope.recipients]
    unable = Failed(Reply(553, "5.6.7 the address is not ASCII, and the relay does not offer SMTPUTF8"))
    if not envelope.reverse_path.isascii():
        return [unable for _ in envelope.recipients]
    return [
        _unspeakable(envelope, recipient) if recipient.address.isascii() else unable
        for recipient in envelope.recipients
    ]


def _unspeakable(envelope: Envelope, recipient: Recipient) -> Outcome | None:
    """The last gate: whatever let such a text into an envelope, it never becomes a second command."""
    if not _is_one_line(envelope.reverse_path, envelope.envid):
        return Failed(Reply(553, "5.1.7 the sender's address holds control characters"))
    if not _is_one_line(recipient.address, recipient.notify, recipient.orcpt):
        return Failed(Reply(553, "5.1.3 the recipient's address holds control characters"))
    return None


def _is_one_line(*texts: str | None) -> bool:
    return all(text is None or text.isprintable() for text in texts)
