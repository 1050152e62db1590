"""What the courier and its caller hand each other: shipments in, outcomes and the end of the session out.

The caller decides what is sent and when, and writes what came of it to disk; the courier never sees a record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.courier.capabilities import Capabilities
from gateway.mail.envelope import Envelope
from gateway.mail.outcome import Outcome, Reply

Phase = Literal["waiting", "envelope", "content", "answer"]
"""Where a shipment is: taken and not begun, addresses, content, the relay's last word awaited."""

Why = Literal[
    "done", "unreachable", "refused", "tls", "auth", "busy", "broken", "slow", "setup", "damaged", "names", "loop"
]


class Readable(Protocol):
    """The content of one message. `octets` is the whole of it if it is small (at most 64 KiB), else None."""

    @property
    def size(self) -> int: ...

    @property
    def octets(self) -> bytes | None: ...

    async def read(self, offset: int, count: int) -> bytes:
        """At most `count` octets from `offset`; fewer only at the end."""
        ...


@dataclass(slots=True)
class Shipment:
    """One message to send. `envelope` holds the pending recipients only; `attempt` counts from 1. `by`: what is left of its
    sender's deadline, as the parameter BY of RFC 2852 says it."""

    id: str
    envelope: Envelope
    content: Readable
    attempt: int = 1
    by: str | None = None


class Feed(Protocol):
    """The caller's side of a session. All of it is called from the event loop that runs the session."""

    async def take(self, offers: Capabilities) -> Shipment | None:
        """The next message, or None: there is nothing (more) to send, say QUIT. May wait inside.

        The courier cancels the call when the relay hangs up meanwhile or the session is to stop: a cancelled call
        must have taken nothing.
        """
        ...

    async def on_wire(self, ids: Sequence[str]) -> None:
        """Awaited before the first octet of these leaves; what it records must be durable when it returns."""
        ...

    def settle(self, id: str, outcomes: Sequence[Outcome]) -> None:
        """Called exactly once for each shipment taken, one outcome a recipient in the shipment's order.

        Takes them down and returns; the caller writes them to disk in groups of its own, and bounds how many wait for that by
        what `take` gives.
        """
        ...

    def progress(self, id: str, phase: Phase, octets: int) -> None:
        """For the view of what is being sent: octets of content handed to the connection so far."""
        ...


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended, in `text` as one plain sentence for the queue view.

    done         all that was offered was sent, or the relay closed an idle connection
    unreachable  no connection, or no greeting
    refused      the greeting, EHLO or HELO was answered 4xx or 5xx, or AUTH 4xx
    tls, auth    encryption or signing in failed, or was not offered where it is required; nothing was sent
    busy         421
    slow         it refused several messages for now because we send too much or too fast
    broken       the connection was lost, went silent or talked nonsense after the greeting
    setup        the relay takes no mail from us at all (P9)
    damaged      a message holds octets that must not leave (P6); the others were sent
    names        the name service cannot say now who takes mail for the domain (direct delivery)
    loop         the domain's mail would come back to ourselves (direct delivery)

    `reached`: a greeting came. `took`: messages the relay accepted. Octets are those of the TCP stream; `resent` of them left
    more than once, in so many segments (0 where the kernel does not say).
    `alarm`: a person has to do something. `line_works`: the connection was dead and another one possible: a new session
    may begin at once.
    """

    why: Why
    text: str
    reply: Reply | None = None
    reached: bool = False
    took: int = 0
    octets_out: int = 0
    octets_in: int = 0
    seconds: float = 0.0
    alarm: bool = False
    offers: Capabilities | None = None
    line_works: bool = False
    segments_out: int = 0
    segments_in: int = 0
    resent: int = 0
    ip_version: Literal[4, 6] = 4


@dataclass(frozen=True, slots=True)
class Timers:
    """How long the relay may take, in seconds (RFC 5321 4.5.3.2). All but `connect` and `tls` run from the last progress:
    a reply, or an acknowledgement of octets that we sent."""

    connect: float = 30.0  # to one address
    resolve: float = 30.0
    greeting: float = 300.0
    ehlo: float = 300.0
    tls: float = 60.0
    auth: float = 120.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0  # content without any acknowledgement
    final: float = 600.0  # after the final dot: giving up early is what makes doubles
    quit: float = 10.0
    hangup: float = 5.0  # from a 421 to the relay's closing
    suspicion: float = 5.0  # octets without acknowledgement: from then on we look whether the line works at all
    silence: float = 2.0  # and four round trips: the line works, and this connection shows no life

    def scaled(self, factor: float) -> Timers:
        """All of them times `factor`, for tests."""
        return dataclasses.replace(
            self, **{field.name: getattr(self, field.name) * factor for field in dataclasses.fields(self)}
        )
