"""What is worth remembering of one relay from session to session, while the program runs.

The caller keeps one `RelayMemory` a relay and hands it to each session; forgetting it costs time, never mail.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(slots=True)
class RelayMemory:
    """`context`: the TLS settings made ready, with the key they were made from. `addresses`: the last look-up of the
    name and when that was (monotonic). `breaks_pipelining`, `breaks_chunking`: it offered, and failed us.
    `no_tls`: under `opportunistic`, its encryption does not work. `rcpt_max`: recipients a message, learned from 452.
    `open_sessions`: that run now. `useful_sessions`: as many at once as hide the round trips that each message waits for
    where it cannot be chunked (1 to 4); measured while a single one runs.
    """

    context: ssl.SSLContext | None = None
    context_key: tuple[object, ...] = ()
    addresses: tuple[object, ...] = ()
    addresses_at: float = field(default=float("-inf"))
    breaks_pipelining: bool = False
    breaks_chunking: bool = False
    no_tls: bool = False
    rcpt_max: int | None = None
    open_sessions: int = 0
    useful_sessions: int = 1
