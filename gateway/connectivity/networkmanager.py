"""Asks NetworkManager which devices are metered and ModemManager what modems see, and hears from them when that changes.

Both may be missing, or come and go: then nothing is known, or what was said last stands. They tell by signals, nothing is
polled. What the words mean is `devices`'; what follows from them, `watch`'s. The bus is loaded only where there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.connectivity.devices import MOST, DeviceBook, DeviceFacts, Properties
from gateway.events import Journal, Remark

if TYPE_CHECKING:
    from gateway.connectivity.bus import Bus, Signal

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
"""Where the system's bus is, if the environment (DBUS_SYSTEM_BUS_ADDRESS) does not say otherwise."""

FIRST_ANSWER = 2.0
"""Seconds that a start waits for the first answer: a session over a line that turns out to be metered would cost."""

SETTLE = 0.1
"""Seconds over which a burst of comings and goings becomes one question; a bus that ends is seen meanwhile."""

NM, MM = "org.freedesktop.NetworkManager", "org.freedesktop.ModemManager1"
_NM_PATH, _MM_PATH = "/org/freedesktop/NetworkManager", "/org/freedesktop/ModemManager1"
_DEVICE, _MODEM, _MODEM_3GPP = f"{NM}.Device", f"{MM}.Modem", f"{MM}.Modem.Modem3gpp"
_PROPERTIES, _OBJECTS, _BUS = (
    "org.freedesktop.DBus.Properties",
    "org.freedesktop.DBus.ObjectManager",
    "org.freedesktop.DBus",
)

_RULES = (
    *(f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{name}'" for name in (NM, MM)),
    *(f"type='signal',sender='{NM}',interface='{NM}',member='{member}'" for member in ("DeviceAdded", "DeviceRemoved")),
    *(f"type='signal',sender='{MM}',interface='{_OBJECTS}',member='Interfaces{what}'" for what in ("Added", "Removed")),
    # Only these interfaces: an access point's strength changes every few seconds, and would wake us each time.
    *(
        f"type='signal',sender='{sender}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{interface}'"
        for sender, interface in ((NM, _DEVICE), (MM, _MODEM), (MM, _MODEM_3GPP))
    ),
)


def why_not(address: str) -> str | None:
    """Why nobody is asked, in a few words; None if there is a bus and what it takes to speak on it. Empty where the extra
    `nm` is not installed: who has not asked for it is told nothing."""
    if importlib.util.find_spec("dbus_fast") is None:
        return ""
    path = address.removeprefix("unix:path=")
    if path != address and not any(c in path for c in ",;%") and not Path(path).exists():
        return f"there is no bus at {path}"
    return None


class NetworkManager:
    """`on_change` is called, in the loop, when anything was said that `facts` may answer otherwise for."""

    def __init__(self, address: str, *, journal: Journal, on_change: Callable[[], None]) -> None:
        self._address, self._journal, self._on_change = address, journal, on_change
        self._book = DeviceBook()
        self._owners: dict[str, str | None] = {NM: None, MM: None}
        self._stale = asyncio.Event()
        self._is_reading = False
        self._answered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def facts(self, interface: str) -> DeviceFacts | None:
        """What is known of the device behind this interface; None where nothing is."""
        return self._book.of(interface)

    async def start(self) -> None:
        """Returns when the first answer is there, or is not to be expected; nobody there is no error."""
        self.ask()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                await self._answered.wait()

    def ask(self) -> None:
        """Begin, or begin anew where the bus was lost. While it is asked already, nothing happens."""
        if self._task is not None and not self._task.done():
            return
        reason = why_not(self._address)
        if reason is not None:
            self._tell_not_asked(reason)
            return
        self._answered.clear()
        self._task = asyncio.create_task(self._serve(), name="network manager")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self) -> None:
        """Until the bus is lost."""
        try:
            from gateway.connectivity.bus import BusFailed, open_bus
        except ImportError as exc:
            self._tell_not_asked(f"dbus-fast cannot be loaded: {exc}")
            return
        bus = None
        try:
            bus = await open_bus(self._address, self._hear)
            for rule in _RULES:
                await bus.listen(rule)
            self._stale.set()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_when_stale(bus))
                self._tell_not_asked(await bus.lost())
                reading.cancel()
        except* BusFailed as failed:
            self._tell_not_asked(str(failed.exceptions[0]))
        finally:
            self._answered.set()
            if bus is not None:
                bus.close()

    def _tell_not_asked(self, why: str) -> None:
        """One line; what was said last stands."""
        self._answered.set()
        if why:
            self._journal.record(Remark("NetworkManager", f"is not asked about metered lines: {why}"))

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _read_when_stale(self, bus: Bus) -> None:
        """All anew at the beginning, and whenever devices or the services themselves come and go."""
        from gateway.connectivity.bus import BusFailed

        while True:
            await self._stale.wait()
            if self._answered.is_set():
                await asyncio.sleep(SETTLE)
            self._stale.clear()
            self._is_reading = True
            try:
                await self._read_devices(bus)
                await self._read_modems(bus)
            except BusFailed as exc:  # one that went away in the middle will be heard of when it returns
                if exc.error:
                    self._journal.record(Remark("NetworkManager", f"refuses to tell which lines are metered: {exc}"))
            finally:
                self._is_reading = False
            self._answered.set()
            self._on_change()

    async def _read_devices(self, bus: Bus) -> None:
        self._owners[NM] = await bus.owner(NM)
        if self._owners[NM] is None:
            return  # what it said last stands: a restart of it must not make a metered line look free
        answer = _first(await bus.call(NM, _NM_PATH, NM, "GetDevices"))
        paths = [str(path) for path in answer[:MOST]] if isinstance(answer, list) else []
        self._book.keep_devices(frozenset(paths))
        for path in paths:
            self._book.device(path, _properties(_first(await bus.call(NM, path, _PROPERTIES, "GetAll", _DEVICE))))

    async def _read_modems(self, bus: Bus) -> None:
        self._owners[MM] = await bus.owner(MM)
        objects: object = None
        if self._owners[MM] is not None:
            objects = _first(await bus.call(MM, _MM_PATH, _OBJECTS, "GetManagedObjects"))
        modems = {
            path: told for path, told in _properties(objects).items() if isinstance(told, dict) and _MODEM in told
        }
        self._book.keep_modems(frozenset(modems))
        for path, told in modems.items():
            self._book.modem(path, _properties(told[_MODEM]))
            self._book.modem(path, _properties(told.get(_MODEM_3GPP)))

    # -- hearing ----------------------------------------------------------------------------------------------------

    def _hear(self, signal: Signal) -> None:
        """Anybody may send us a signal; only those of the two, and of the bus, count."""
        if signal.sender == _BUS:
            if signal.member == "NameOwnerChanged":
                self._stale.set()
            return
        if signal.sender not in self._owners.values():
            return
        if signal.member != "PropertiesChanged" or self._is_reading:  # what is just being read may be older than this
            self._stale.set()
            return
        body = signal.body
        if len(body) == 3 and isinstance(body[0], str):
            told = _properties(body[1])
            if signal.sender == self._owners[NM] and body[0] == _DEVICE:
                self._book.device(signal.path, told)
            elif signal.sender == self._owners[MM] and body[0] in (_MODEM, _MODEM_3GPP):
                self._book.modem(signal.path, told)
            self._on_change()


def _first(answer: list[object]) -> object:
    return answer[0] if answer else None


def _properties(told: object) -> Properties:
    return {key: value for key, value in told.items() if isinstance(key, str)} if isinstance(told, dict) else {}
