"""What is worth remembering of one relay from session to session, while the program runs.

The caller keeps one `RelayMemory` a relay and hands it to each session; forgetting it costs time, never mail.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

NEVER = float("-inf")

DISTRUST = 6 * 3600.0
"""Seconds for which a failure is held against a relay: what failed may have been something on the way."""

DISTRUST_OF_A_CUT = 600.0
"""The same, where it may have been a cut of the line; long enough for the next tries."""


@dataclass(slots=True)
class RelayMemory:
    """`context`: the TLS settings made ready, with the key they were made from. `addresses`: the last look-up of the
    name and when that was. `no_pipelining`, `no_chunking`: until when it is not believed to do what it offers and failed
    at; `no_tls`: the same of encryption, under `opportunistic`. All these times are the event loop's.

    `rcpt_max`: recipients a message, learned from 452. `open_sessions`: that run now. `useful_sessions`: as many at once
    as hide the round trips that each message waits for where it cannot be chunked (1 to 4); measured while one runs.
    """

    context: ssl.SSLContext | None = None
    context_key: tuple[object, ...] = ()
    addresses: tuple[object, ...] = ()
    addresses_at: float = NEVER
    no_pipelining: float = NEVER
    no_chunking: float = NEVER
    no_tls: float = NEVER
    rcpt_max: int | None = None
    open_sessions: int = 0
    useful_sessions: int = 1
