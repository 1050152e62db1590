"""Which mode is in force: what was chosen, or, in `auto`, what the links say. Pure (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gateway.config.settings import ModeName
from gateway.connectivity.state import LinkState


def judge_mode(chosen: ModeName, states: Sequence[LinkState]) -> tuple[Literal["online", "offline", "stopped"], str]:
    """The mode in force, and why in a few words. A usable permanent link means Online; anything else, Offline."""
    if chosen != "auto":
        return chosen, "chosen"
    for state in states:
        if state.kind == "permanent" and state.up and state.usable:
            return "online", f"{state.name} is usable: {state.why}"
    permanent = [state for state in states if state.kind == "permanent"]
    if not permanent:
        metered = next((state.name for state in states if state.kind_said_by == "NetworkManager"), None)
        return "offline", f"{metered} is metered, says NetworkManager" if metered else "no permanent link"
    return "offline", "; ".join(f"{state.name}: {state.why}" for state in permanent)
