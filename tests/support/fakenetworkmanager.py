"""A NetworkManager and a ModemManager with one device and its modem, as services on a bus of the test's own.

They answer and tell as the real ones do, and nothing more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

NM, MM = "org.freedesktop.NetworkManager", "org.freedesktop.ModemManager1"
NM_PATH, MM_PATH = "/org/freedesktop/NetworkManager", "/org/freedesktop/ModemManager1"
DEVICE_PATH, MODEM_PATH = f"{NM_PATH}/Devices/3", f"{MM_PATH}/Modem/0"
PROPERTIES = "org.freedesktop.DBus.Properties"
UNKNOWN, YES, NO, GUESS_YES, GUESS_NO = range(5)

Answers = dict[tuple[str, str], Callable[[Message], Message]]


class FakeNetworkManager:
    """`async with FakeNetworkManager(address, "wwan0") as fake:`; then change what it says."""

    def __init__(self, address: str, interface: str, *, metered: int = YES) -> None:
        self.address = address
        self.asked: list[str] = []
        self.devices = [DEVICE_PATH]
        self.device: dict[str, Variant] = {
            "Interface": Variant("s", "cdc-wdm0"),
            "IpInterface": Variant("s", interface),
            "Udi": Variant("s", MODEM_PATH),
            "Metered": Variant("u", metered),
            "State": Variant("u", 100),
        }
        self.modem: dict[str, Variant] = {
            "SignalQuality": Variant("(ub)", [63, True]),
            "AccessTechnologies": Variant("u", 1 << 14),
            "Ports": Variant("a(su)", [["cdc-wdm0", 6], ["wwan0", 2]]),
        }
        self.network: dict[str, Variant] = {"OperatorName": Variant("s", "Vodafone CZ")}
        self._buses: dict[str, MessageBus] = {}

    async def __aenter__(self) -> FakeNetworkManager:
        await self.come(NM)
        await self.come(MM)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in tuple(self._buses):
            await self.leave(name)

    async def come(self, name: str) -> None:
        """A service starts."""
        bus = await MessageBus(self.address).connect()
        bus.add_message_handler(self._answer)
        await bus.request_name(name)
        self._buses[name] = bus

    async def leave(self, name: str) -> None:
        """A service ends."""
        bus = self._buses.pop(name)
        bus.disconnect()
        await bus.wait_for_disconnect()

    async def say_metered(self, metered: int) -> None:
        self.device["Metered"] = Variant("u", metered)
        await self._say_changed(NM, DEVICE_PATH, f"{NM}.Device", {"Metered": self.device["Metered"]})

    async def say_signal(self, percent: int) -> None:
        self.modem["SignalQuality"] = Variant("(ub)", [percent, True])
        await self._say_changed(MM, MODEM_PATH, f"{MM}.Modem", {"SignalQuality": self.modem["SignalQuality"]})

    async def unplug(self) -> None:
        self.devices = []
        await self._buses[NM].send(Message.new_signal(NM_PATH, NM, "DeviceRemoved", "o", [DEVICE_PATH]))

    async def _say_changed(self, name: str, path: str, interface: str, changed: dict[str, Variant]) -> None:
        body = [interface, changed, []]
        await self._buses[name].send(Message.new_signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body))

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.asked.append(f"{message.member} {message.path}")
        match message.member, message.path:
            case "GetDevices", _:
                return Message.new_method_return(message, "ao", [self.devices])
            case "GetAll", _ if message.path == DEVICE_PATH and message.body == [f"{NM}.Device"]:
                return Message.new_method_return(message, "a{sv}", [self.device])
            case "GetManagedObjects", _ if message.path == MM_PATH:
                objects = {MODEM_PATH: {f"{MM}.Modem": self.modem, f"{MM}.Modem.Modem3gpp": self.network}}
                return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects])
            case _:
                return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "no such thing here")


class NetworkManagerThread:
    """The same in a thread with an event loop of its own, for tests whose gateway is another process."""

    def __init__(self, address: str, interface: str, *, metered: int = YES) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.fake = FakeNetworkManager(address, interface, metered=metered)

    def __enter__(self) -> NetworkManagerThread:
        self._thread.start()
        self.do(self.fake.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.fake.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
