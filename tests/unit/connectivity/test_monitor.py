"""The monitor over a kernel and a clock of ours: what is up, what is usable, who is asked and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.devices import DeviceFacts
from gateway.connectivity.kernel import KernelFacts
from gateway.connectivity.monitor import Monitor
from gateway.connectivity.probe import Probed, Question
from gateway.connectivity.state import LinkState
from gateway.events import Alarm, Event, Journal, LinkChanged
from gateway.lookup import SocketAddress
from tests.support.clock import FakeClock
from tests.support.fakekernel import FakeKernel

HQ = RelaySettings("hq", "192.0.2.25")
ISP = RelaySettings("isp", "192.0.2.26")
DSL = LinkSettings("dsl", "eth0")
PROBED = LinkSettings("dsl", "eth0", probe=60.0)
LTE = LinkSettings("lte", "wwan0", "metered")
HERE: tuple[SocketAddress, ...] = ((2, ("192.0.2.25", 25)),)


def settings(*links: LinkSettings, relays: tuple[RelaySettings, ...] = (HQ,)) -> Settings:
    return Settings(None, "gw.example", Path("spool"), links=links, relays=relays)


class FakeDevices:
    """A network manager whose word is the test's."""

    def __init__(self) -> None:
        self.of: dict[str, DeviceFacts] = {}
        self.asked = 0
        self._on_change: Callable[[], None] = lambda: None

    def hear(self, on_change: Callable[[], None]) -> FakeDevices:
        self._on_change = on_change
        return self

    def say(self, interface: str, facts: DeviceFacts) -> None:
        self.of[interface] = facts
        self._on_change()

    def facts(self, interface: str) -> DeviceFacts | None:
        return self.of.get(interface)

    async def start(self) -> None:
        self.asked += 1

    def ask(self) -> None:
        self.asked += 1

    async def stop(self) -> None:
        self.asked = 0


class Office:
    """A monitor with everything around it under the test's hands."""

    def __init__(
        self, *links: LinkSettings, relays: tuple[RelaySettings, ...] = (HQ,), devices: FakeDevices | None = None
    ) -> None:
        self.kernel, self.clock, self.journal = FakeKernel(), FakeClock(), Journal()
        self.events: list[Event] = []
        self.journal.subscribe(self.events.append)
        self.kernel.add("eth0", "192.168.7.2")
        self.changes = 0
        self.has_budget = True
        self.spent: list[tuple[str, int]] = []
        self.asked: list[Question] = []
        self.answers: Callable[[Question], str | None] = lambda question: None
        self.monitor = Monitor(
            settings(*links, relays=relays),
            clock=self.clock,
            journal=self.journal,
            on_change=self.changed,
            kernel=self.kernel,
            prober=self.probe,
            events=self.kernel.events,
            devices=devices.hear if devices is not None else None,
            may_probe=lambda link: self.has_budget,
            on_probed=lambda link, octets: self.spent.append((link, octets)),
        )

    def changed(self) -> None:
        self.changes += 1

    async def probe(self, question: Question) -> Probed:
        self.asked.append(question)
        return Probed(self.answers(question), 700, HERE)

    @property
    def state(self) -> LinkState:
        return self.monitor.states[0]

    @property
    def told(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, LinkChanged)]


def run(office: Office, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await office.monitor.start()
        try:
            async with asyncio.timeout(10):
                await body()
        finally:
            await office.monitor.stop()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # what is waited for is the loop's own turns
        await asyncio.sleep(0)


def test_a_link_that_is_not_probed_is_usable_as_soon_as_it_is_up() -> None:
    office = Office(DSL)
    assert office.state.up
    assert office.state.usable
    assert office.state.addresses == ("192.168.7.2",)
    assert office.state.relay_answers is None


def test_carrier_lost_is_seen_at_once_and_said_once_with_its_reason() -> None:
    office = Office(DSL)

    async def body() -> None:
        before = office.changes
        office.clock.advance(100)
        office.kernel.carrier("eth0", False)
        assert not office.state.up
        assert not office.state.usable
        assert office.state.since == office.clock.now()
        assert office.changes == before + 1
        office.kernel.carrier("eth0", False)
        assert office.changes == before + 1
        assert office.events[-1] == LinkChanged("dsl", "down", "eth0 has no carrier")

    run(office, body)


def test_a_default_route_lost_in_silence_is_seen_with_the_next_word() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.kernel.is_silent = True
        office.kernel.default_route("eth0", False)
        assert office.state.up
        office.kernel.is_silent = False
        office.kernel.add("unrelated0")
        assert not office.state.up

    run(office, body)


def test_a_kernel_that_cannot_be_asked_changes_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(DSL)

    def no_descriptors() -> KernelFacts:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(office.kernel, "facts", no_descriptors)
    office.monitor.look()
    assert office.state.usable
    assert office.events[-1] == Alarm("links", "the kernel cannot be asked: Too many open files")


def test_a_session_that_failed_makes_it_unusable_until_its_time() -> None:
    office = Office(DSL)

    async def body() -> None:
        again = office.clock.now() + 1800
        office.monitor.session_failed("dsl", "hq", "192.0.2.25 does not answer", again)
        assert office.state.up
        assert not office.state.usable
        assert office.state.try_again_at == again
        assert office.state.why == "192.0.2.25 does not answer"
        assert office.state.relay_answers is False
        office.clock.advance(1799)
        office.monitor.time_passed()
        assert not office.state.usable
        office.clock.advance(1)
        office.monitor.time_passed()
        assert office.state.usable
        assert office.state.try_again_at is None

    run(office, body)


def test_the_timer_gives_it_another_chance_by_itself() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 0.001)
        assert not office.state.usable
        office.clock.advance(1)
        await until(lambda: office.state.usable)

    run(office, body)


def test_a_session_that_failed_without_a_time_is_tried_again_after_the_retry_interval() -> None:
    office = Office(DSL)
    office.monitor.session_failed("dsl", "hq", "broken", None)
    assert office.state.try_again_at == office.clock.now() + 1800


def test_a_session_that_succeeded_makes_it_usable_at_once() -> None:
    office = Office(DSL)
    office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
    office.monitor.session_succeeded("dsl", "hq")
    assert office.state.usable
    assert office.state.relay_answers is True


def test_a_link_is_usable_if_any_of_its_relays_answers() -> None:
    office = Office(DSL, relays=(HQ, ISP))
    office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
    assert office.state.usable
    office.monitor.session_failed("dsl", "isp", "broken", office.clock.now() + 900)
    assert not office.state.usable
    assert office.state.try_again_at == office.clock.now() + 900
    office.clock.advance(900)
    office.monitor.time_passed()
    assert office.state.usable


def test_a_link_with_a_relay_of_its_own_hears_of_no_other() -> None:
    office = Office(replace(DSL, relay="isp"), relays=(HQ, ISP))
    office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
    assert office.state.usable
    office.monitor.session_failed("dsl", "isp", "broken", office.clock.now() + 1800)
    assert not office.state.usable


def test_word_of_a_link_that_a_reload_took_away_is_ignored() -> None:
    office = Office(DSL)
    office.monitor.session_failed("gone", "hq", "broken", None)
    assert office.state.usable


def test_a_cable_that_comes_back_gives_another_chance() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
        office.clock.advance(100)
        office.kernel.carrier("eth0", False)
        office.kernel.carrier("eth0", True)
        assert office.state.usable

    run(office, body)


def test_a_link_that_flaps_is_up_but_not_usable_until_it_has_been_up_for_a_while() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.clock.advance(100)
        for _ in range(50):  # five minutes, three seconds each way
            office.kernel.carrier("eth0", False)
            office.clock.advance(3)
            office.kernel.carrier("eth0", True)
            office.monitor.time_passed()
            office.clock.advance(3)
        assert office.told.count("up") <= 3
        assert office.state.up
        assert not office.state.usable
        assert "fell 50 times" in office.state.why
        office.clock.advance(58)
        office.monitor.time_passed()
        assert office.state.usable

    run(office, body)


def usable_in_turn(office: Office) -> list[bool]:
    return [state.usable for state in office.monitor.states]


def test_states_come_in_order_of_preference_each_from_its_own_interface() -> None:
    office = Office(DSL, LTE)
    assert [state.name for state in office.monitor.states] == ["dsl", "lte"]
    assert [state.up for state in office.monitor.states] == [True, False]
    office.kernel.add("wwan0", "100.64.1.2")
    office.monitor.look()
    assert [state.up for state in office.monitor.states] == [True, True]


# -- probes --------------------------------------------------------------------------------------------------------------


def test_a_probed_link_is_usable_after_its_first_answer() -> None:
    office = Office(PROBED)
    assert not office.state.usable
    assert office.state.why == "waiting for the first probe"

    async def body() -> None:
        await until(lambda: office.state.usable)
        assert office.asked == [Question(HQ, "gw.example", "eth0", certificate=True)]
        assert office.state.why == "the relay answers"

    run(office, body)


def test_a_relay_that_does_not_answer_the_first_probe_makes_it_unusable_with_the_reason() -> None:
    office = Office(PROBED)
    office.answers = lambda question: "192.0.2.25 does not answer within 20 s"

    async def body() -> None:
        await until(lambda: office.state.relay_answers is False)
        assert not office.state.usable
        assert office.state.why == "192.0.2.25 does not answer within 20 s"

    run(office, body)


def test_a_relay_that_returns_is_asked_a_second_time_and_says_so_meanwhile() -> None:
    office = Office(PROBED)
    office.answers = lambda question: "192.0.2.25 does not answer within 20 s"

    async def body() -> None:
        await until(lambda: office.state.relay_answers is False)
        office.answers = lambda question: None
        office.monitor._wakes["dsl"].set()  # the interval is over
        await until(lambda: len(office.asked) == 2)
        await asyncio.sleep(0)
        assert not office.state.usable
        assert office.state.why == "one probe succeeded, and a second is waited for"
        office.monitor._wakes["dsl"].set()
        await until(lambda: office.state.usable)

    run(office, body)


def test_the_relays_are_asked_in_turn_until_one_answers() -> None:
    office = Office(PROBED, relays=(HQ, ISP, RelaySettings("third", "192.0.2.27")))
    office.answers = lambda question: "silence" if question.relay is HQ else None

    async def body() -> None:
        await until(lambda: office.state.usable)
        assert [question.relay.name for question in office.asked] == ["hq", "isp"]

    run(office, body)


def test_a_probe_that_breaks_is_a_probe_that_failed_and_the_next_is_asked() -> None:
    office = Office(PROBED)

    def breaks(question: Question) -> str | None:
        raise LookupError(f"no such codec for {question.relay.host}")

    office.answers = breaks

    async def body() -> None:
        await until(lambda: office.state.relay_answers is False)
        assert "no such codec" in office.state.why
        office.answers = lambda question: None
        office.monitor.link_event("eth0", "up")
        await until(lambda: office.state.usable)

    run(office, body)


def test_a_line_that_comes_back_is_probed_at_once() -> None:
    office = Office(PROBED)

    async def body() -> None:
        await until(lambda: office.state.usable)
        office.clock.advance(100)
        office.kernel.carrier("eth0", False)
        office.kernel.carrier("eth0", True)
        assert office.state.usable  # what answered before the cable was pulled is believed meanwhile
        await until(lambda: len(office.asked) == 2)

    run(office, body)


def test_nothing_is_asked_while_the_line_is_down() -> None:
    office = Office(PROBED)
    office.kernel.carrier("eth0", False)
    office.monitor.look()

    async def body() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        assert office.asked == []
        office.kernel.carrier("eth0", True)
        await until(lambda: office.state.usable)

    run(office, body)


def test_a_metered_or_dialled_link_is_never_probed() -> None:
    kinds = (LinkSettings("lte", "eth0", "metered", probe=60.0), LinkSettings("modem", "eth0", "dialled", probe=60.0))
    office = Office(*kinds)

    async def body() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        office.monitor.link_event("eth0", "up")
        for _ in range(50):
            await asyncio.sleep(0)
        assert office.asked == []

    run(office, body)


def test_a_portal_that_comes_later_is_known_by_its_certificate_after_the_session_that_met_it() -> None:
    office = Office(PROBED)
    portal = "192.0.2.25 shows a certificate that is not its own"

    async def body() -> None:
        await until(lambda: office.state.usable)
        office.answers = lambda question: portal if question.certificate else None
        office.monitor.session_doubted("dsl", "hq")
        await until(lambda: len(office.asked) == 2)
        assert office.asked[-1].certificate
        assert office.state.usable  # one probe is no outage
        office.monitor.session_doubted("dsl", "hq")  # asked again at once, for the test's sake
        await until(lambda: not office.state.usable)
        assert office.state.why == portal
        office.answers = lambda question: None
        for number in (4, 5):
            office.monitor.link_event("eth0", "up")
            await until(lambda number=number: len(office.asked) >= number)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        await until(lambda: office.state.usable)

    run(office, body)


def test_on_a_link_that_is_not_probed_whoever_answered_has_answered() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.monitor.session_doubted("dsl", "hq")
        assert office.state.usable
        assert office.state.relay_answers

    run(office, body)


def test_a_name_is_not_looked_up_by_a_line_that_costs_and_what_was_known_must_do() -> None:
    named = RelaySettings("hq", "smtp.hq.example")
    office = Office(PROBED, LTE, relays=(named,))
    office.kernel.servers = ("10.64.0.1",)
    office.kernel.route_over("10.64.0.1", "eth0")
    office.kernel.add("wwan0", "10.64.0.2", default=False)
    office.kernel.default_route("wwan0", True)

    async def body() -> None:
        await until(lambda: office.state.usable)
        assert office.asked[0].may_look_up
        assert office.asked[0].known == ()
        office.kernel.route_over("10.64.0.1", "wwan0")
        office.monitor.link_event("eth0", "up")
        await until(lambda: len(office.asked) == 2)
        assert not office.asked[1].may_look_up
        assert office.asked[1].known == HERE
        office.kernel.carrier("wwan0", False)
        office.monitor.link_event("eth0", "up")
        await until(lambda: len(office.asked) == 3)
        assert office.asked[2].may_look_up

    run(office, body)


def test_what_a_probe_puts_on_the_line_is_told() -> None:
    office = Office(PROBED, relays=(HQ, ISP))
    office.answers = lambda question: "silence" if question.relay is HQ else None

    async def body() -> None:
        await until(lambda: office.state.usable)
        assert office.spent == [("dsl", 700), ("dsl", 700)]

    run(office, body)


def test_without_a_budget_nobody_is_asked_and_what_is_believed_stands() -> None:
    office = Office(replace(PROBED, probe=0.01))

    async def body() -> None:
        await until(lambda: office.state.usable)
        office.has_budget = False
        asked = len(office.asked)
        office.kernel.carrier("eth0", False)
        office.kernel.carrier("eth0", True)
        for _ in range(20):  # the loop's own turns
            await asyncio.sleep(0)
        assert len(office.asked) == asked
        assert office.state.usable
        office.has_budget = True
        office.clock.advance(60)
        await until(lambda: len(office.asked) > asked)

    run(office, body)


def test_a_link_over_the_default_route_is_probed_by_whatever_way_the_kernel_takes() -> None:
    office = Office(LinkSettings("default", "default", probe=60.0))

    async def body() -> None:
        await until(lambda: office.state.usable)
        assert office.asked[0].interface is None

    run(office, body)


# -- hooks ---------------------------------------------------------------------------------------------------------------


def test_a_hook_that_says_up_gives_what_failed_another_chance() -> None:
    office = Office(DSL)
    office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
    before = office.changes
    assert office.monitor.link_event("eth0", "up") == ("dsl",)
    assert office.state.usable
    assert office.changes == before + 1


def test_a_hook_that_says_down_is_believed_where_the_kernel_sees_nothing_of_it() -> None:
    office = Office(DSL)
    assert office.monitor.link_event("eth0", "down") == ("dsl",)
    assert office.state.up
    assert not office.state.usable
    assert office.state.why == "a hook said that eth0 is down"
    assert office.state.try_again_at == office.clock.now() + 1800
    office.monitor.link_event("eth0", "up")
    assert office.state.usable


def test_a_hook_on_an_interface_of_no_link_concerns_nobody() -> None:
    office = Office(DSL)
    assert office.monitor.link_event("docker0", "down") == ()
    assert office.state.usable


def test_a_default_route_over_the_modem_is_the_modems_line_and_not_that_of_the_permanent_link() -> None:
    default, modem = LinkSettings(probe=60.0), LinkSettings("modem", "ppp0", "dialled")
    for host in ("192.0.2.25", "relay.example"):
        office = Office(default, modem, relays=(RelaySettings("hq", host),))

        async def body(office: Office = office) -> None:
            await until(lambda: office.state.usable)
            office.kernel.default_route("eth0", False)
            assert not office.state.up
            asked = len(office.asked)
            office.kernel.add("ppp0", "10.0.0.2")
            assert (office.state.up, office.monitor.states[1].up) == (False, True)
            assert office.state.why == "the route leads over ppp0, the line of modem"
            office.monitor.link_event("ppp0", "up")
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(office.asked) == asked
            office.kernel.add("aaa0", "192.168.9.2")  # which the kernel prefers
            assert office.state.up

        run(office, body)


def test_a_hook_on_the_interface_of_the_default_route_concerns_a_link_over_it() -> None:
    office = Office(LinkSettings())
    assert office.monitor.link_event("docker0", "down") == ()
    assert office.monitor.link_event("eth0", "down") == ("default",)
    assert not office.state.usable
    assert office.monitor.link_event("wlan0", "up") == ("default",)  # the route may go that way from now on
    assert office.state.usable


# -- reload --------------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_known_of_links_and_relays_that_did_not_change() -> None:
    office = Office(DSL, relays=(HQ, ISP))

    async def body() -> None:
        office.monitor.session_failed("dsl", "hq", "broken", office.clock.now() + 1800)
        office.monitor.session_failed("dsl", "isp", "broken", office.clock.now() + 1800)
        since = office.state.since
        office.clock.advance(60)
        office.monitor.replace(settings(DSL, LTE, relays=(HQ, ISP)))
        assert usable_in_turn(office) == [False, False]
        assert office.state.since == since
        office.monitor.replace(settings(DSL, relays=(HQ, replace(ISP, host="192.0.2.99"))))
        assert office.state.usable  # the changed relay has not been tried

    run(office, body)


def test_a_reload_starts_and_ends_probes() -> None:
    office = Office(DSL)

    async def body() -> None:
        office.monitor.replace(settings(PROBED))
        await until(lambda: len(office.asked) == 1)
        office.monitor.replace(settings(DSL))
        assert office.state.usable
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "probe dsl" and not task.cancelling()]

    run(office, body)


# -- what a network manager says --------------------------------------------------------------------------------------


def test_a_link_of_which_the_file_says_nothing_is_what_the_network_manager_says() -> None:
    devices = FakeDevices()
    office = Office(DSL, devices=devices)

    async def body() -> None:
        assert (office.state.kind, office.state.kind_said_by) == ("permanent", "file")
        before, since = office.changes, office.clock.now()
        office.clock.advance(10)
        devices.say("eth0", DeviceFacts(metered=True))
        assert (office.state.kind, office.state.kind_said_by) == ("metered", "NetworkManager")
        assert office.state.why == "there is a route; metered, says NetworkManager"
        assert office.state.since == since + 10
        assert (office.changes, office.told[-1]) == (before + 1, "up")
        devices.say("eth0", DeviceFacts(metered=False))
        assert (office.state.kind, office.state.kind_said_by) == ("permanent", "file")

    run(office, body)


def test_a_line_that_is_called_metered_is_not_probed_until_it_is_called_free_again() -> None:
    devices = FakeDevices()
    devices.of["eth0"] = DeviceFacts(metered=True)
    office = Office(PROBED, devices=devices)

    async def body() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        office.monitor.link_event("eth0", "up")
        for _ in range(50):
            await asyncio.sleep(0)
        assert (office.state.kind, office.asked) == ("metered", [])
        devices.say("eth0", DeviceFacts(metered=False))
        await until(lambda: office.state.usable)

    run(office, body)


@pytest.mark.parametrize("link", [replace(DSL, is_kind_said=True), replace(DSL, kind="dialled")])
def test_what_the_file_says_wins(link: LinkSettings) -> None:
    devices = FakeDevices()
    devices.of["eth0"] = DeviceFacts(metered=True)
    office = Office(link, devices=devices)
    assert (office.state.kind, office.state.kind_said_by) == (link.kind, "file")
    assert office.state.told == DeviceFacts(metered=True)


def test_a_modems_signal_is_shown_and_wakes_nobody() -> None:
    devices = FakeDevices()
    office = Office(DSL, devices=devices)

    async def body() -> None:
        before = office.changes
        devices.say("eth0", DeviceFacts(None, "O2", 40, "LTE"))
        assert office.state.told == DeviceFacts(None, "O2", 40, "LTE")
        assert office.changes == before

    run(office, body)


def test_the_default_link_asks_about_the_device_that_packets_leave_by_and_a_reload_asks_anew() -> None:
    devices = FakeDevices()
    devices.of["eth0"] = DeviceFacts(metered=True)
    office = Office(LinkSettings(), devices=devices)

    async def body() -> None:
        assert office.state.kind == "metered"
        office.monitor.replace(settings(LinkSettings(is_kind_said=True)))
        assert (office.state.kind, devices.asked) == ("permanent", 2)

    run(office, body)
