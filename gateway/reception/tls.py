"""The server's side of TLS: which versions and ciphers, and the certificate."""

from __future__ import annotations

import ssl

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
