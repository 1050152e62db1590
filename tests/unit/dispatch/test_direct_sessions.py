"""Sessions with domains over a fake courier: how many at once, who gets which recipients, and what a failure of one means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import LinkSettings, RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.facts import Wish
from gateway.events import Alarm, Remark
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.mail.outcome import Deferred, Delivered, Reply
from tests.support.house import ISP, FakeCourier, House

TAKEN = Delivered(Reply(250, "2.0.0 taken"))
LATER = Deferred("451 4.7.1 later", Reply(451, "4.7.1 later"))
DONE = SessionEnd("done", "all was taken", reached=True)

Session = Callable[[RelaySettings, Feed], Awaitable[SessionEnd]]


class Courier(FakeCourier):
    """`sent`: what each way was given, as ID and recipients."""

    def __init__(self, session: Session) -> None:
        super().__init__(lambda number, feed: asyncio.sleep(0, DONE))
        self._session = session
        self.sent: list[tuple[str, str, tuple[str, ...]]] = []

    async def __call__(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd:
        self.started, self.running = self.started + 1, self.running + 1
        self.most = max(self.most, self.running)
        try:
            return await self._session(relay, feed)
        finally:
            self.running -= 1

    async def take_all(self, relay: RelaySettings, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(Capabilities())) is not None:
            to = tuple(r.address for r in shipment.envelope.recipients)
            self.sent.append((relay.name, shipment.id, to))
            await feed.on_wire([shipment.id])
            await asyncio.sleep(0.01)
            feed.settle(shipment.id, [TAKEN for _ in to])
        return DONE


def house(folder: Path, courier: Courier, *relays: RelaySettings, speed: float | None = None) -> House:
    made = House(folder, courier)
    made.settings = replace(made.settings, delivery_online="direct", relays=relays, links=(LinkSettings(speed=speed),))
    return made


async def hand_in(made: House, *to: str) -> str:
    draft = made.spool.draft([lambda item: b"Received: by gw\r\n"])
    await draft.write(b"Subject: x\r\n\r\nx\r\n")
    envelope = Envelope("anna@branch.example", tuple(map(Recipient, to)))
    return (await made.spool.commit(draft, envelope, message_class="normal", peer=Peer())).id


@pytest.mark.parametrize(("speed", "most"), [(None, 10), (33_600.0, 2)])
def test_as_many_domains_at_once_as_the_line_bears_and_all_have_their_turn(
    tmp_path: Path, speed: float | None, most: int
) -> None:
    async def check() -> None:
        courier = Courier(lambda relay, feed: courier.take_all(relay, feed))
        async with house(tmp_path, courier, speed=speed) as made:
            for n in range(25):
                await hand_in(made, f"ops@d{n}.example")
            made.run()
            await made.until(lambda: not made.spool.entries)
            assert courier.most == most
            assert len(courier.sent) == 25

    asyncio.run(check())


def test_each_domain_of_a_message_is_sent_its_own_recipients_once(tmp_path: Path) -> None:
    async def check() -> None:
        courier = Courier(lambda relay, feed: courier.take_all(relay, feed))
        async with house(tmp_path, courier) as made:
            item = await hand_in(made, "a@one.example", "b@two.example", "c@ONE.example", "d@three.example")
            made.run()
            await made.until(lambda: not made.spool.entries)
            assert sorted(courier.sent) == [
                ("direct:one.example", item, ("a@one.example", "c@ONE.example")),
                ("direct:three.example", item, ("d@three.example",)),
                ("direct:two.example", item, ("b@two.example",)),
            ]

    asyncio.run(check())


def test_domains_that_cannot_be_reached_leave_the_link_usable_and_their_mail_to_the_relay_together(
    tmp_path: Path,
) -> None:
    async def session(relay: RelaySettings, feed: Feed) -> SessionEnd:
        if relay.name == "direct:good.example" or not relay.direct:
            return await courier.take_all(relay, feed)
        return SessionEnd("unreachable", f"no way into {relay.host}", alarm=False)

    courier = Courier(session)

    async def check() -> None:
        async with house(tmp_path, courier, ISP) as made:
            made.run()
            await hand_in(made, "a@gone.example")
            await made.until(lambda: not made.spool.entries)
            await hand_in(made, "b@away.example")
            await made.until(lambda: not made.spool.entries)
            item = await hand_in(made, "c@gone.example", "d@good.example", "e@away.example")
            await made.until(lambda: not made.spool.entries)
            assert {(way, to) for way, sent, to in courier.sent if sent == item} == {
                ("isp", ("c@gone.example", "e@away.example")),
                ("direct:good.example", ("d@good.example",)),
            }
            assert all(state.usable for state in made.monitor.states if state.up)
            assert not [event for event in made.events if isinstance(event, Alarm)]
            assert len([event for event in made.events if isinstance(event, Remark)]) == 2

    asyncio.run(check())


def test_mail_that_would_come_back_to_us_raises_an_alarm_and_is_given_to_no_relay(tmp_path: Path) -> None:
    async def session(relay: RelaySettings, feed: Feed) -> SessionEnd:
        return SessionEnd("loop", f"mail for {relay.host} would come back to us", alarm=True)

    async def check() -> None:
        courier = Courier(session)
        async with house(tmp_path, courier, ISP) as made:
            item = await hand_in(made, "a@ours.example")
            made.run()
            await made.until(lambda: [event for event in made.events if isinstance(event, Alarm)])
            assert courier.started == 1
            verdict = made.dispatcher.verdict(made.spool.entries[item], None)
            assert "would come back to us" in str(getattr(verdict, "why", ""))

    asyncio.run(check())


def test_a_wish_for_many_domains_lasts_until_each_has_had_its_session(tmp_path: Path) -> None:
    async def session(relay: RelaySettings, feed: Feed) -> SessionEnd:
        if courier.started > 4:
            return await courier.take_all(relay, feed)
        while (shipment := await feed.take(Capabilities())) is not None:
            feed.settle(shipment.id, [LATER for _ in shipment.envelope.recipients])
        return DONE

    courier = Courier(session)

    async def check() -> None:
        async with house(tmp_path, courier, speed=33_600.0) as made:
            ids = [await hand_in(made, f"ops@d{n}.example") for n in range(4)]
            made.run()
            await made.until(lambda: courier.started == 4 and not courier.running)
            await made.until(lambda: all(entry.attempts for entry in made.spool.entries.values()))
            assert len(made.dispatcher.wishes.push(ids, Wish("force"))) == 4
            await made.until(lambda: not made.spool.entries)
            assert courier.most == 2

    asyncio.run(check())


def test_a_session_that_finds_its_only_message_taken_by_another_is_no_trouble(tmp_path: Path) -> None:
    """Both domains have a session; the message is with one of them, and comes back for the other while that says QUIT."""
    settled = asyncio.Event()

    async def session(relay: RelaySettings, feed: Feed) -> SessionEnd:
        if relay.name == "direct:one.example":
            shipment = await feed.take(Capabilities())
            assert shipment is not None
            await made_second.wait()
            feed.settle(shipment.id, [TAKEN])
            settled.set()
            return DONE
        if not settled.is_set():
            await asyncio.sleep(0)
            assert await feed.take(Capabilities()) is None
            made_second.set()
            await settled.wait()
            await asyncio.sleep(0.05)
            return DONE
        return await courier.take_all(relay, feed)

    made_second = asyncio.Event()
    courier = Courier(session)

    async def check() -> None:
        async with house(tmp_path, courier, ISP) as made:
            await hand_in(made, "a@one.example", "b@two.example")
            made.run()
            await made.until(lambda: not made.spool.entries)
            assert [way for way, _, _ in courier.sent] == ["direct:two.example"]

    asyncio.run(check())
