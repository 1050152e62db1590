"""A certificate for our own listeners, and a client that trusts it; made once for a test run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.config.settings import CertificateSettings
from tests.support.certificates import Authority, make_authority, make_server


@dataclass(frozen=True)
class ListenerCertificate:
    """`settings` for gateway.yaml's `tls`."""

    settings: CertificateSettings
    authority: Authority

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.path))


def make_listener_certificate(folder: Path) -> ListenerCertificate:
    authority = make_authority(folder)
    server = make_server(folder, authority, name="localhost")
    return ListenerCertificate(CertificateSettings(server.path, server.path), authority)
