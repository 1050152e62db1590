"""What NetworkManager's and ModemManager's properties mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connectivity.devices import MOST, DeviceBook, DeviceFacts

MODEM = "/org/freedesktop/ModemManager1/Modem/0"


def book(metered: int = 1) -> DeviceBook:
    made = DeviceBook()
    made.device("/d/1", {"Interface": "cdc-wdm0", "IpInterface": "wwan0", "Udi": MODEM, "Metered": metered})
    return made


@pytest.mark.parametrize(("said", "meant"), [(0, None), (1, True), (2, False), (3, True), (4, False), (77, None)])
def test_metered_as_known_and_as_guessed(said: int, meant: bool | None) -> None:
    assert book(said).of("wwan0") == DeviceFacts(meant)


def test_a_device_is_found_by_the_interface_of_its_packets_and_by_its_own() -> None:
    known = book()
    assert known.of("wwan0") == known.of("cdc-wdm0") == DeviceFacts(True)
    assert known.of("eth0") is None
    known.device("/d/1", {"IpInterface": ""})
    assert known.of("wwan0") is None
    assert known.of("cdc-wdm0") == DeviceFacts(True)


def test_a_modem_belongs_to_the_device_that_names_it_and_to_its_own_ports() -> None:
    known = book()
    known.device("/d/1", {"IpInterface": "ppp0"})
    known.modem(
        MODEM, {"SignalQuality": [41, True], "AccessTechnologies": (1 << 14) | (1 << 5), "Ports": [["wwan7", 2]]}
    )
    known.modem(MODEM, {"OperatorName": "O2"})
    assert known.of("ppp0") == DeviceFacts(True, "O2", 41, "LTE/UMTS")
    assert known.of("wwan7") == DeviceFacts(None, "O2", 41, "LTE/UMTS")
    known.modem(MODEM, {"OperatorName": ""})
    known.keep_devices(frozenset())
    assert known.of("ppp0") is None
    assert known.of("wwan7") == DeviceFacts(None, None, 41, "LTE/UMTS")
    known.keep_modems(frozenset())
    assert known.of("wwan7") is None


def test_what_an_operator_calls_itself_is_cut_and_harmless() -> None:
    known = book()
    known.modem(MODEM, {"OperatorName": "\x1b[31m" + "x" * 100})
    facts = known.of("wwan0")
    assert facts is not None
    assert facts.operator is not None
    assert facts.operator.startswith("\\x1b[31mxxx")
    assert len(facts.operator) < 70


def test_no_more_devices_than_the_bound_are_remembered() -> None:
    known = DeviceBook()
    for number in range(MOST + 10):
        known.device(f"/d/{number}", {"Interface": f"eth{number}", "Metered": 1})
        known.modem(f"/m/{number}", {"Ports": [[f"wwan{number}", 2]]})
    assert known.of(f"eth{MOST - 1}") is not None
    assert known.of(f"eth{MOST}") is None
    assert known.of(f"wwan{MOST}") is None


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.one_of(st.text(), st.integers())))
NAMES = ("Interface", "IpInterface", "Udi", "Metered", "Ports", "OperatorName", "SignalQuality", "AccessTechnologies")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_properties_are_read_to_an_end(told: dict[str, object]) -> None:
    known = book()
    known.device("/d/1", told)
    known.modem(MODEM, told)
    facts = known.of("cdc-wdm0")
    assert facts is None or facts.signal is None or 0 <= facts.signal <= 100
