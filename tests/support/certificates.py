"""Certificates for tests, made on the spot: a CA, and servers signed by it or by themselves."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """`path`: its certificate in PEM."""

    path: Path
    key: Key
    certificate: x509.Certificate


@dataclass(frozen=True)
class ServerCertificate:
    """`path`: certificate and key in one PEM file. `pin`: SHA-256 of the SubjectPublicKeyInfo, hex."""

    path: Path
    pin: str
    der: bytes

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that a weak key can be shown at all
        context.load_cert_chain(self.path)
        return context


def _sign(
    subject: str, key: Key, issuer: str, issuer_key: Key, *, days: tuple[int, int], names: list[str], is_ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign("Test CA", key, "Test CA", key, days=(-400, 400), names=[], is_ca=True)
    path = folder / "ca.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(path, key, certificate)


def make_server(
    folder: Path,
    authority: Authority | None,
    *,
    name: str = "server",
    names: tuple[str, ...] = ("127.0.0.1", "localhost"),
    days: tuple[int, int] = (-1, 30),
    weak: bool = False,
) -> ServerCertificate:
    """Signed by itself if there is no authority. `days`: validity from and to, counted from today."""
    key: Key = rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())
    issuer, issuer_key = (name, key) if authority is None else ("Test CA", authority.key)
    certificate = _sign(name, key, issuer, issuer_key, days=days, names=list(names), is_ca=False)
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return ServerCertificate(
        path, hashlib.sha256(public).hexdigest(), certificate.public_bytes(serialization.Encoding.DER)
    )
