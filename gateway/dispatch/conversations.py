"""What was said about messages that did not go well, kept in memory within bounds, for whoever asks why (DESIGN section 9)."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

MOST_ITEMS = 200
MOST_A_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class Conversation:
    """`lines` begin with `C: ` (we), `S: ` (the relay) or `# `; no content, and nothing of signing in."""

    at: float
    relay: str
    lines: tuple[str, ...]


class Conversations:
    """By queue ID, those of the messages that were tried last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, deque[Conversation]] = OrderedDict()

    def note(self, item: str, conversation: Conversation) -> None:
        self._kept.setdefault(item, deque(maxlen=MOST_A_MESSAGE)).append(conversation)
        self._kept.move_to_end(item)
        while len(self._kept) > MOST_ITEMS:
            self._kept.popitem(last=False)

    def of(self, item: str) -> tuple[Conversation, ...]:
        """Oldest first."""
        return tuple(self._kept.get(item, ()))
