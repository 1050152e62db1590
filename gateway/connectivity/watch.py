"""All that is known of one link: what the kernel said, what is believed of its relays, how often it fell; and the state that
follows. No socket and no timer in here; `Monitor` brings the facts and keeps the time.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.settings import LinkKind, LinkSettings, RelaySettings
from gateway.connectivity.devices import DeviceFacts
from gateway.connectivity.hysteresis import Belief, Damper, Sign, is_trusted, step
from gateway.connectivity.judge import Line
from gateway.connectivity.state import LinkState


class Watch:
    """One link. Wall-clock instants are shown, monotonic ones are counted with."""

    def __init__(self, settings: LinkSettings, relays: Sequence[RelaySettings], now: float) -> None:
        self.settings = settings
        self.relays: tuple[RelaySettings, ...] = tuple(relays)
        self._line = Line(False, False, "not looked at yet")
        self._beliefs = {relay.name: Belief.UNKNOWN for relay in relays}
        self._why = {relay.name: Belief.UNKNOWN.value for relay in relays}
        self._again: dict[str, float] = {}  # wall clock: when a relay that failed is given another session
        self._damper = Damper()
        self._held = False
        self.heard_at: float | None = None  # monotonic: when a session last said something of the line
        self.doubted: set[str] = set()  # relays in whose place somebody else may answer
        self.told: DeviceFacts | None = None  # by NetworkManager, of the device that packets leave by
        self.state = LinkState(
            settings.name, settings.kind, settings.interface, False, False, False, False, self._line.why, now
        )

    @property
    def is_probed(self) -> bool:
        return self.settings.kind == "permanent" and self.settings.probe is not None and bool(self.relays)

    @property
    def kind(self) -> LinkKind:
        """What the file says; where it says nothing, NetworkManager may say that the line is metered."""
        follows = self.settings.kind == "permanent" and not self.settings.is_kind_said
        return "metered" if follows and self.told is not None and self.told.metered else self.settings.kind

    @property
    def device(self) -> str:
        """The interface that packets leave by, as far as it is known."""
        return self._line.device or self.settings.interface

    def inherit(self, former: Watch) -> None:
        """After a reload: what was known of this link and of relays that did not change stays."""
        self._line, self._damper, self.heard_at = former._line, former._damper, former.heard_at
        self.told = former.told
        self.state = former.state
        for relay in self.relays:
            if relay in former.relays:
                self._beliefs[relay.name], self._why[relay.name] = former._beliefs[relay.name], former._why[relay.name]
                if relay.name in former._again:
                    self._again[relay.name] = former._again[relay.name]

    # -- what comes in --------------------------------------------------------------------------------------------

    def look(self, line: Line, monotonic: float) -> bool:
        """The kernel's facts. True if the line came back just now."""
        was, self._line = self._line, line
        if line.up and not was.up:
            self._damper.came_up(monotonic)
            for relay in self._beliefs:
                self._step(relay, Sign.CARRIER_BACK)
            self._again.clear()
            return True
        if was.up and not line.up:
            self._damper.fell(monotonic)
            for relay in self._beliefs:
                self._step(relay, Sign.CARRIER_LOST)
        return False

    def sign(self, relay: str, sign: Sign, why: str, try_again_at: float | None = None) -> None:
        """What a probe or a session showed. A relay that a reload took away says nothing any more."""
        if relay not in self._beliefs:
            return
        self._step(relay, sign)
        self._why[relay] = why
        self._again.pop(relay, None)
        if try_again_at is not None and not self.is_probed and not self._trusts(relay):
            self._again[relay] = try_again_at

    def give_another_chance(self, now: float | None = None) -> None:
        """To relays whose time has come; without `now`, to all."""
        for relay in [r for r in self._beliefs if now is None or self._again.get(r, now + 1) <= now]:
            self._step(relay, Sign.AGAIN)
            self._again.pop(relay, None)

    def clock_stepped_back(self, latest: float) -> None:
        """No relay waits beyond this instant of the new time for its next chance."""
        self._again = {relay: min(again, latest) for relay, again in self._again.items()}

    def distrust(self, why: str, try_again_at: float) -> None:
        """Somebody who knows (a hook) says that the line is gone, though the kernel sees nothing of it."""
        for relay in self._beliefs:
            self.sign(relay, Sign.SESSION_FAILED, why, try_again_at)

    def _step(self, relay: str, sign: Sign) -> None:
        before = self._beliefs[relay]
        self._beliefs[relay] = after = step(before, sign)
        if before is not after:
            self._why[relay] = after.value

    # -- what follows ---------------------------------------------------------------------------------------------

    def _trusts(self, relay: str) -> bool:
        return is_trusted(self._beliefs[relay], probed=self.is_probed)

    @property
    def is_wavering(self) -> bool:
        """One probe said something new: the next should come soon."""
        return any(belief in (Belief.DOUBTED, Belief.RETURNING) for belief in self._beliefs.values())

    def belief(self, relay: str) -> Belief:
        return self._beliefs.get(relay, Belief.UNKNOWN)

    def judge(self, now: float, monotonic: float) -> tuple[LinkState, bool]:
        """The state at this moment, and whether it is another than before in what decisions are made from."""
        before, line = self.state, self._line
        held_until = self._damper.held_until()
        self._held = held_until is not None and monotonic < held_until
        trusted = not self._beliefs or any(map(self._trusts, self._beliefs))
        usable = line.up and trusted and not self._held
        changed = (line.up, usable, self.kind) != (before.up, before.usable, before.kind)
        self.state = LinkState(
            name=self.settings.name,
            kind=self.kind,
            interface=self.settings.interface,
            carrier=line.carrier,
            has_route=line.has_route,
            up=line.up,
            usable=usable,
            why=self._reason(trusted) + ("" if self.kind == self.settings.kind else "; metered, says NetworkManager"),
            since=now if changed else before.since,
            relay_answers=self._relay_answers(),
            addresses=line.addresses,
            device=line.device,
            try_again_at=min(self._again.values(), default=None) if line.up and not trusted else None,
            kind_said_by="file" if self.kind == self.settings.kind else "NetworkManager",
            told=self.told,
        )
        return self.state, changed

    def _relay_answers(self) -> bool | None:
        beliefs = set(self._beliefs.values())
        if beliefs & {Belief.ANSWERS, Belief.DOUBTED}:
            return True
        return None if beliefs <= {Belief.UNKNOWN} else False

    def _reason(self, trusted: bool) -> str:
        if not self._line.up:
            return self._line.why
        if self._held:
            return f"came back, but fell {self._damper.falls} times: not used until it has been up for a while"
        if self._beliefs and not trusted:
            first, belief = next(iter(self._beliefs.items()))
            match belief:
                case Belief.UNKNOWN:
                    return "waiting for the first probe"
                case Belief.RETURNING:
                    return f"{belief.value}, and a second is waited for"
                case _:
                    return self._why[first]
        for relay, belief in self._beliefs.items():
            if belief is Belief.DOUBTED:
                return f"{belief.value} ({self._why[relay]})"
            if belief is Belief.ANSWERS:
                return self._why[relay]
        return self._line.why

    def next_moment(self, now: float, monotonic: float) -> float | None:
        """Seconds from now after which time alone changes the state; None if it does not."""
        waits = [moment - now for moment in self._again.values()] if self._line.up else []
        held_until = self._damper.held_until()
        if held_until is not None and held_until > monotonic:
            waits.append(held_until - monotonic)
        return max(0.0, min(waits)) if waits else None
