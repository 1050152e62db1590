"""Takes messages to a relay over SMTP and says what became of each, recipient by recipient.

What is sent, when and over which link is the caller's decision; so is what an outcome means for the queue.
"""

from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, Phase, Readable, SessionEnd, Shipment, Timers, Why
from gateway.courier.memory import RelayMemory
from gateway.courier.session import Nudge, run_session

__all__ = [
    "Capabilities",
    "Feed",
    "Nudge",
    "Phase",
    "Readable",
    "RelayMemory",
    "SessionEnd",
    "Shipment",
    "Timers",
    "Why",
    "run_session",
]
