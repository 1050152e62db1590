"""In which order what may leave does leave: class, then deadline, then age with small before large (DESIGN section 7)."""

from __future__ import annotations

from math import inf

from gateway.dispatch.facts import MessageFacts
from gateway.mail.envelope import CLASSES

SECONDS_PER_OCTET = 0.001
"""A message counts as younger by a second for each 1000 octets, so that small mail passes a large one of about its age
and a large one that has waited (10 MB: some three hours) passes small mail: it never starves."""

_RANK = {name: rank for rank, name in enumerate(CLASSES)}

Key = tuple[int, int, float, float, str]


def order_key(message: MessageFacts, *, starts_first: bool = False, starts_last: bool = False) -> Key:
    """Sort ascending. `starts_first`: fits no opening, so it leads its class (DESIGN section 5, rule 5). `starts_last`: a relay
    refused it as if we had no right to send at all (P9); another message goes first, to tell whose fault it was. What has a
    deadline (RFC 2852) goes before what has none, the nearest first.
    """
    age = message.created + message.size * SECONDS_PER_OCTET
    deadline = message.deliver_by if message.deliver_by is not None else inf
    return (_RANK[message.message_class], 2 if starts_last else 0 if starts_first else 1, deadline, age, message.id)
