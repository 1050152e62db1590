"""What `gateway.yaml` says, parsed (DESIGN section 4). Past this package nobody sees YAML or asks whether a value is sane.

Sizes are octets, durations seconds, rates bit/s, ports 1 to 65535. `line` is the line of `gateway.yaml` (1-based) at
which the thing begins, 0 for a default.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.mail.envelope import Class

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
ANYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

ModeName = Literal["auto", "online", "offline", "stopped"]
RelayTls = Literal["required", "opportunistic", "none", "implicit"]
LinkKind = Literal["permanent", "metered", "dialled"]
LineEndings = Literal["auto", "refuse", "repair"]


@dataclass(frozen=True, slots=True)
class Address:
    """`host:port` to listen on; `host` is an IP address literal without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """One listener. `networks`: who may connect at all."""

    address: Address
    tls: Literal["none", "starttls", "implicit"] = "none"
    auth: Literal["none", "optional", "required"] = "none"
    networks: tuple[Network, ...] = ANYWHERE
    line: int = 0


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """Paths, made absolute from the folder of gateway.yaml."""

    certificate: Path
    key: Path
    line: int = 0


@dataclass(frozen=True, slots=True)
class AcceptSettings:
    """Who may hand us what."""

    networks: tuple[Network, ...] = LOOPBACK
    users: Path | None = None
    senders: Literal["any", "own"] = "any"
    domains: tuple[str, ...] = ()
    max_message: int = 25_000_000
    max_recipients: int = 1000
    max_connections: int = 500
    max_connections_per_client: int = 50
    max_messages_per_client: int | None = None
    line_endings: LineEndings = "auto"


@dataclass(frozen=True, slots=True)
class InsideSettings:
    host: str
    port: int = 25


@dataclass(frozen=True, slots=True)
class DialSettings:
    up: tuple[str, ...]
    down: tuple[str, ...]
    within: float = 90.0
    at_most: int | None = None  # a day


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    octets: int
    per: Literal["session", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class TariffSettings:
    """What a use of a link costs, in the operator's own money. `rounding`: seconds that a use is rounded up to."""

    per_minute: float | None = None
    per_mb: float | None = None
    rounding: float = 60.0


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One line to the world. `probe`: seconds between probes, None for none. `speed`: bit/s as first guess.

    `is_kind_said`: the file says what it is; else it is permanent, unless NetworkManager says that it is metered."""

    name: str = "default"
    interface: str = "default"
    kind: LinkKind = "permanent"
    probe: float | None = None
    dial: DialSettings | None = None
    speed: float | None = None
    budget: BudgetSettings | None = None
    relay: str | None = None
    line: int = 0
    tariff: TariffSettings | None = None
    is_kind_said: bool = False


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where a secret rests; read when it is needed, so that a changed file needs no reload. Never in gateway.yaml.

    Exactly one is set: `file` (must not be readable by group or others) or `credential` (a name under
    `$CREDENTIALS_DIRECTORY`, systemd).
    """

    file: Path | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`direct`: no relay of the file; `host` is a domain, whose own hosts take its mail (`delivery.online: direct`)."""

    name: str
    host: str
    port: int = 25
    tls: RelayTls = "required"
    ca: Path | None = None
    pin: str | None = None  # SHA-256 of the certificate's public key (SubjectPublicKeyInfo), lower-case hex
    user: str | None = None
    password: PasswordSource | None = None
    line: int = 0
    direct: bool = False


@dataclass(frozen=True, slots=True)
class QueueSettings:
    retry_interval: float = 30 * 60.0
    retry_ceiling: float = 4 * 3600.0
    max_attempts: int | None = None
    warn_after: float = 4 * 3600.0
    give_up_after: float = 5 * 86400.0
    reserve: float | int = 0.05  # a float is a share of the disk, an int is octets


@dataclass(frozen=True, slots=True)
class ClassRule:
    """First match wins; within a rule all that are given must match, within one of them any.

    `senders` and `recipients` are address patterns (`*` matches any text, case folded); `header` is
    (name folded to lower case, text to find in it, folded), or None.
    """

    message_class: Class
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    header: tuple[str, str] | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class SourceSettings:
    name: str
    kind: str
    host: str
    domains: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    address: Address
    certificate: CertificateSettings | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class NotInForce:
    """A key that is understood and not obeyed yet: said by the checker, at start and in `status`."""

    key: str
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.key} (line {self.line})"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `gateway.yaml`. `path` is None where none was found and all is default."""

    path: Path | None
    hostname: str
    spool: Path
    schedule: Path | None = None
    mode: ModeName = "auto"
    listen: tuple[ListenSettings, ...] = (ListenSettings(Address("127.0.0.1", 2525)),)
    certificate: CertificateSettings | None = None
    accept: AcceptSettings = field(default_factory=AcceptSettings)
    inside: InsideSettings | None = None
    links: tuple[LinkSettings, ...] = (LinkSettings(),)
    relays: tuple[RelaySettings, ...] = ()
    delivery_online: Literal["relay", "direct"] = "relay"
    queue: QueueSettings = field(default_factory=QueueSettings)
    classes: tuple[ClassRule, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    console: ConsoleSettings | None = None
    report_language: str = "en"
    not_in_force: tuple[NotInForce, ...] = ()
    key_lines: tuple[
        tuple[str, int], ...
    ] = ()  # dotted key (`accept.max_message`) → the line where it is first written

    def line_of(self, key: str) -> int:
        """The line at which a key is written, 0 where it has its default."""
        return next((line for name, line in self.key_lines if name == key), 0)
