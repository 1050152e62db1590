"""How long reception waits for a client, in seconds. Parameters, so that tests run them scaled."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class ReceptionTimers:
    """Waits are for progress: each is armed anew when the client did what was waited for.

    The wait for a disk is not among them: while a message is being made safe, no timer runs.
    """

    first_mail: float = 60.0
    """From the greeting, and for each command, until a first message was begun: silence is cheap to try."""

    command: float = 300.0
    """For the next command after that (RFC 5321 4.5.3.2.7: at least five minutes)."""

    command_line: float = 60.0
    """From the first octet of a command to its end."""

    block: float = 180.0
    """For the next octets of a message (RFC 5321 4.5.3.2.5: three minutes)."""

    rate_window: float = 60.0
    """The stretch over which `minimum_rate` is measured; a pause within it is not counted against a quick client."""

    handshake: float = 10.0
    """For the whole TLS handshake."""

    write: float = 300.0
    """For a client to read our replies."""

    refusal: float = 10.0
    """For a client that was refused at the door to read why."""

    auth_delay: float = 1.0
    """After a wrong password; doubles with each one."""

    auth_block: float = 600.0
    """How long an address stays blocked after too many wrong passwords."""

    minimum_rate: float = 100.0
    """Octets a second a message must bring over each `rate_window`: far below any modem, far above a miser."""

    def scaled(self, factor: float) -> ReceptionTimers:
        """All waits multiplied by `factor`; the rate stays."""
        changed = {f.name: getattr(self, f.name) * factor for f in fields(self) if f.name != "minimum_rate"}
        return ReceptionTimers(minimum_rate=self.minimum_rate, **changed)
