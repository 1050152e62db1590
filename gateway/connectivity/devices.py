"""What NetworkManager and ModemManager say of a network device, in our words. Pure: no bus in here.

A device is known by the interface that carries its packets (`wwan0`, `ppp0`). What they tell is taken as data: keys that are
not asked for and values of another type are left out, texts are cut and made harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.config.hints import printable

MOST = 64
"""Devices, and modems, that are remembered."""

MOST_TEXT = 64

T = TypeVar("T")

Properties = Mapping[str, object]

_METERED = {1: True, 2: False, 3: True, 4: False}  # NMMetered: yes, no, and both as guessed; 0 is unknown

_ACCESS = (  # MMModemAccessTechnology, the newest first
    (1 << 15, "5G"),
    (1 << 14, "LTE"),
    (1 << 16, "LTE-M"),
    (1 << 17, "NB-IoT"),
    (1 << 9, "HSPA+"),
    (1 << 8 | 1 << 7 | 1 << 6, "HSPA"),
    (1 << 5, "UMTS"),
    (1 << 4, "EDGE"),
    (1 << 3, "GPRS"),
    (1 << 2 | 1 << 1, "GSM"),
    (1 << 13 | 1 << 12 | 1 << 11 | 1 << 10, "CDMA"),
    (1 << 0, "POTS"),
)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """`metered`: whether using it costs, None where they do not know. `operator`, `signal` (percent) and `access` (LTE, EDGE)
    are a modem's; None where it is none or does not tell."""

    metered: bool | None = None
    operator: str | None = None
    signal: int | None = None
    access: str | None = None


@dataclass(slots=True)
class _Device:
    interface: str = ""
    ip_interface: str = ""
    modem: str = ""  # its path at ModemManager, where it is a modem
    metered: bool | None = None


@dataclass(slots=True)
class _Modem:
    ports: frozenset[str] = field(default_factory=frozenset)
    operator: str | None = None
    signal: int | None = None
    access: str | None = None


class DeviceBook:
    """Devices and modems by their paths. What is told of one changes only what is said."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}
        self._modems: dict[str, _Modem] = {}

    def of(self, interface: str) -> DeviceFacts | None:
        """What is known of the device behind a network interface; None where nothing is."""
        device = next((d for d in self._devices.values() if interface in (d.ip_interface, d.interface)), None)
        modem = self._modems.get(device.modem) if device is not None else None
        modem = modem or next((m for m in self._modems.values() if interface in m.ports), None)
        if device is None and modem is None:
            return None
        return DeviceFacts(
            device.metered if device is not None else None,
            modem.operator if modem is not None else None,
            modem.signal if modem is not None else None,
            modem.access if modem is not None else None,
        )

    def device(self, path: str, told: Properties) -> None:
        """Properties of `org.freedesktop.NetworkManager.Device`, all or some."""
        device = _one(self._devices, path, _Device)
        if device is None:
            return
        device.interface = _text(told.get("Interface")) or device.interface
        if "IpInterface" in told:  # empty while it carries nothing
            device.ip_interface = _text(told["IpInterface"]) or ""
        device.modem = _text(told.get("Udi")) or device.modem
        if (metered := _number(told.get("Metered"))) is not None:
            device.metered = _METERED.get(metered)

    def modem(self, path: str, told: Properties) -> None:
        """Properties of `org.freedesktop.ModemManager1.Modem` and of its `Modem3gpp`, all or some."""
        modem = _one(self._modems, path, _Modem)
        if modem is None:
            return
        if isinstance(ports := told.get("Ports"), Sequence):
            names = (_text(port[0]) for port in ports[:MOST] if isinstance(port, Sequence) and port)
            modem.ports = frozenset(name for name in names if name)
        if "OperatorName" in told:
            modem.operator = _text(told["OperatorName"])
        if isinstance(quality := told.get("SignalQuality"), Sequence) and quality:
            signal = _number(quality[0])
            modem.signal = None if signal is None else min(100, signal)
        if (access := _number(told.get("AccessTechnologies"))) is not None:
            modem.access = "/".join([word for bits, word in _ACCESS if access & bits][:2]) or None

    def keep_devices(self, paths: frozenset[str]) -> None:
        """Forget every other."""
        self._devices = {path: device for path, device in self._devices.items() if path in paths}

    def keep_modems(self, paths: frozenset[str]) -> None:
        self._modems = {path: modem for path, modem in self._modems.items() if path in paths}


def _one(book: dict[str, T], path: str, make: type[T]) -> T | None:
    """The one of this path, made if there is room for it."""
    if path not in book and len(book) >= MOST:
        return None
    return book.setdefault(path, make())


def _text(value: object) -> str | None:
    return printable(value[:MOST_TEXT]).strip() or None if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
