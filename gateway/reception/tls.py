"""The server's side of TLS: which versions and ciphers, the certificate, and the change to TLS on an open connection."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto

from gateway.config.problem import Problem
from gateway.config.report import render
from gateway.config.settings import CertificateSettings
from gateway.errors import ConfigurationError


def server_context(certificate: CertificateSettings) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, forward secrecy and authenticated encryption only. Raises ConfigurationError.

    A key with a pass-phrase is refused: nobody is there to type it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    # The one group that everybody has to know (RFC 8446 9.1). Left alone, OpenSSL takes P-521 and X448, too, which cost a board
    # many times as much; Python can name only one.
    context.set_ecdh_curve("prime256v1")
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    for path in (certificate.certificate, certificate.key):
        try:
            path.read_bytes()
        except OSError as exc:
            _refuse(certificate, f"{path} cannot be read: {exc.strerror or exc}")
    try:
        context.load_cert_chain(certificate.certificate, certificate.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or str(exc)
        _refuse(
            certificate, f"{certificate.certificate} and {certificate.key} are no certificate and its key: {reason}"
        )
    return context


def _no_password() -> str:
    raise ValueError("the key is locked with a pass-phrase")


def _refuse(certificate: CertificateSettings, what: str) -> None:
    raise ConfigurationError(
        render([Problem(certificate.certificate, 1, 1, what, "see tls: in gateway.yaml.")], {}).rstrip("\n")
    ) from None


class _TlsProtocol(sslproto.SSLProtocol):
    """asyncio's, with a buffer that fits a TLS record: its own 256 KiB a connection are a board's memory for 500 idle ones."""

    max_size = 32 * 1024


async def begin_tls(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    *,
    loop: asyncio.AbstractEventLoop,
    handshake_timeout: float,
) -> asyncio.Transport:
    """Shake hands as the server, and return the transport that `protocol` is to use from now on.

    What `loop.start_tls` does, with `_TlsProtocol`. Raises OSError (of which SSLError and the time-out are kinds); then the
    connection is closed, and `protocol` is not told.
    """
    done = loop.create_future()
    secure = _TlsProtocol(
        loop,
        protocol,
        context,
        done,
        server_side=True,
        call_connection_made=False,
        ssl_handshake_timeout=handshake_timeout,  # type: ignore[arg-type]  # asyncio takes fractions of seconds
    )
    transport.pause_reading()
    transport.set_protocol(secure)
    begun = loop.call_soon(secure.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)
    try:
        await done
    except BaseException:
        transport.close()
        begun.cancel()
        resumed.cancel()
        raise
    if secure._app_transport is None:  # cut off from our side: asyncio then has neither a transport nor an error
        raise ConnectionAbortedError
    return secure._app_transport
