"""Encryption to a relay: which certificates count, the pin, and what a failure means in plain words.

One context serves all sessions to a relay (making one costs 20 ms and over a megabyte), and remembers the last TLS
session, so that the next handshake is a round trip shorter.
"""

from __future__ import annotations

import hashlib
import ssl

from gateway.config.settings import RelaySettings
from gateway.courier.memory import RelayMemory


class TlsFailed(Exception):
    """No encryption as configured; the text completes "smtp.isp.example …"."""


class ResumingContext(ssl.SSLContext):
    """A client context that offers the session of the last connection (asyncio has no argument for it)."""

    remembered: ssl.SSLSession | None = None

    def wrap_bio(  # type: ignore[override]  # typeshed names the same arguments with a union we need not repeat
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self.remembered)


def context_for(relay: RelaySettings, memory: RelayMemory) -> ssl.SSLContext:
    """The context of this relay, made once and again when its settings or its CA file change. Raises TlsFailed."""
    try:
        stamp = relay.ca.stat() if relay.ca is not None else None
    except OSError as exc:
        raise TlsFailed(f"cannot be verified: the file {relay.ca} cannot be read ({exc.strerror})") from exc
    key = (relay.host, relay.tls, relay.ca, relay.pin, stamp and (stamp.st_mtime_ns, stamp.st_ino, stamp.st_size))
    if memory.context is None or memory.context_key != key:
        memory.context = _make(relay)
        memory.context_key = key
    return memory.context


def _make(relay: RelaySettings) -> ssl.SSLContext:
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if relay.pin is not None or relay.tls == "opportunistic":
        # With a pin the key itself is what counts; opportunistic takes anything that keeps listeners out.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if relay.ca is not None:
            context.load_verify_locations(cafile=relay.ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except (OSError, ssl.SSLError) as exc:
        raise TlsFailed(f"cannot be verified: {relay.ca or 'the system'} holds no usable certificates ({exc})") from exc
    return context


def check_pin(relay: RelaySettings, tls: ssl.SSLObject | None) -> None:
    """Raises TlsFailed if a pin is set and the peer's key is another. Call it before anything else is sent."""
    if relay.pin is None:
        return
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if certificate is None:
        raise TlsFailed("shows no certificate, and one is pinned")
    try:
        found = hashlib.sha256(public_key_of(certificate)).hexdigest()
    except ValueError as exc:
        raise TlsFailed(f"shows a certificate that cannot be read ({exc})") from exc
    if found != relay.pin:
        raise TlsFailed(f"shows another key than the pinned one (sha256 {found})")


def remember_session(memory: RelayMemory, tls: ssl.SSLObject | None) -> None:
    """Keep the session for the next connection; TLS 1.3 sends its tickets only after the handshake.

    One that began under a context made before the present one is forgotten: offered under another, it is an error.
    """
    if tls is not None and isinstance(memory.context, ResumingContext) and tls.context is memory.context:
        memory.context.remembered = tls.session


def public_key_of(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate in DER, whole (RFC 5280 4.1). Raises ValueError.

    TBSCertificate is version [0] (may be missing), serial, signature, issuer, validity, subject, then the key.
    """
    outer, _ = _contents(certificate, 0, 0x30)
    fields, end = _contents(certificate, outer, 0x30)
    at = fields
    if certificate[at : at + 1] == b"\xa0":
        at = _contents(certificate, at, 0xA0)[1]
    for tag in (0x02, 0x30, 0x30, 0x30, 0x30):
        at = _contents(certificate, at, tag)[1]
    key_end = _contents(certificate, at, 0x30)[1]
    if key_end > end:
        raise ValueError("the key is longer than what holds it")
    return certificate[at:key_end]


def _contents(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the contents of the element at `at` begin and where it ends."""
    if len(der) < at + 2 or der[at] != tag:
        raise ValueError(f"no element {tag:#04x} at octet {at}")
    length = der[at + 1]
    start = at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(der) < start + count:
            raise ValueError(f"no length at octet {at + 1}")
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise ValueError(f"the element at octet {at} is cut short")
    return start, start + length


_EXPIRED = 10
_NOT_YET_VALID = 9
_OTHER_HOST = 62
_OTHER_ADDRESS = 64
_SELF_SIGNED = (18, 19)
_WEAK = (66, 67, 68)


def failure_in_words(exc: Exception) -> str:
    """What a failed handshake means, to complete "smtp.isp.example …"."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        match exc.verify_code:
            case code if code in (_EXPIRED, _NOT_YET_VALID):
                when = "has expired" if code == _EXPIRED else "is not valid yet"
                return f"shows a certificate that {when}, or the clock of this machine is wrong"
            case code if code in (_OTHER_HOST, _OTHER_ADDRESS):
                return (
                    "shows the certificate of another host: a wrong name in the settings, "
                    f"or a hotspot that wants a sign-in first ({exc.verify_message})"
                )
            case code if code in _SELF_SIGNED:
                return f"shows a certificate that nobody we trust has signed ({exc.verify_message})"
            case code if code in _WEAK:
                return f"shows a certificate with a key that is too weak ({exc.verify_message})"
            case _:
                return f"shows a certificate that we cannot trust ({exc.verify_message})"
    if isinstance(exc, ssl.SSLError):
        return f"fails to encrypt ({(exc.reason or str(exc)).lower().replace('_', ' ')})"
    if isinstance(exc, TimeoutError | ConnectionAbortedError):
        return "does not finish the handshake of the encryption in time"
    return "closed the connection in the handshake of the encryption"
