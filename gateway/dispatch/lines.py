"""What a line that comes up, or is usable again, sets going. Which links there are, and how they are, is `connectivity`'s."""

from __future__ import annotations

from gateway.connectivity.monitor import Monitor
from gateway.dispatch.calls import Calls
from gateway.dispatch.experience import Experience
from gateway.dispatch.meter import Meter
from gateway.dispatch.waking import Waking


class Lines:
    """Remembers which links were up and usable: it is the return of one that means something."""

    def __init__(self, monitor: Monitor, calls: Calls, meter: Meter, experience: Experience, waking: Waking) -> None:
        self._monitor, self._calls, self._meter = monitor, calls, meter
        self._experience, self._waking = experience, waking
        self._up = self._links_up()
        self._usable = self._usable_links()

    def changed(self) -> None:
        """The monitor's word. A link that came back is tried at once by what broke (DESIGN section 8)."""
        self._calls.dialler.link_changed()
        self._meter.links_are(self._monitor.states)
        up = self._links_up()
        if new := up - self._up:
            if any(state.kind == "dialled" for state in self._monitor.states if state.name in new):
                self._experience.troubles.another_line()
            self.is_back()
        self._up = up
        usable = self._usable_links()
        if usable - self._usable:
            self._experience.line_is_usable_again()
        self._usable = usable
        self._waking.for_all()

    def is_back(self) -> None:
        """Said by the kernel, or by a hook where the kernel saw nothing: what broke is tried at once."""
        self._experience.troubles.line_is_back()
        self._waking.for_all()

    def _links_up(self) -> set[str]:
        return {state.name for state in self._monitor.states if state.up}

    def _usable_links(self) -> set[str]:
        return {state.name for state in self._monitor.states if state.kind == "permanent" and state.usable}
