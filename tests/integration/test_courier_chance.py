"""Relays that do whatever chance says: what the courier believes is always what the relay did."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from gateway.courier import RelayMemory
from tests.support.relay import HANG_UP, RESET, Answer, Relay, Say
from tests.support.sending import DATA, MANNERS, PLAIN, send
from tests.support.shipping import ListFeed, shipment

REFUSALS = ["450 4.2.0 later", "550 5.1.1 no", "452 4.5.3 too many", "554 5.7.1 relay access denied", "421 4.3.2 bye"]
RUDE: list[Answer] = [HANG_UP, RESET, Say("421 4.3.2 bye", hang_up=True)]


def rude_script(chance: random.Random) -> dict[str, list[Answer]]:
    """Mostly the ordinary answer, now and then a refusal, rarely an end."""

    def answers(count: int) -> list[Answer]:
        return [
            chance.choice(RUDE)
            if chance.random() < 0.01
            else chance.choice(REFUSALS)
            if chance.random() < 0.1
            else None
            for _ in range(count)
        ]

    return {key: answers(100) for key in ("MAIL", "RCPT", "DATA", ".", "RSET", "QUIT")}


@pytest.mark.parametrize("extensions", MANNERS.values(), ids=MANNERS)
@pytest.mark.parametrize("start", range(0, 24, 8))
def test_every_outcome_is_what_the_relay_did(extensions: tuple[str, ...], start: int) -> None:
    for seed in range(start, start + 8):
        feed, relay = asyncio.run(one_session(random.Random(seed), extensions))
        assert_true(feed, relay, seed)


async def one_session(chance: random.Random, extensions: tuple[str, ...]) -> tuple[ListFeed, Relay]:
    ships = [
        shipment(
            f"m{number}",
            b"Subject: %d\r\n\r\n" % number + b".line\r\n" * chance.choice([0, 1, 50, 10_000]),
            sender=f"m{number}@branch.test",
            to=[f"r{n}@m{number}.test" for n in range(chance.choice([1, 1, 2, 5]))],
        )
        for number in range(15)
    ]
    async with Relay(rude_script(chance), extensions=extensions, capacity=chance.choice([None, 2])) as relay:
        _, feed = await send(relay, *ships, memory=RelayMemory())
    return feed, relay


def assert_true(feed: ListFeed, relay: Relay, seed: int) -> None:
    there = Counter((message.sender.split("@")[0], to) for message in relay.messages for to in message.recipients)
    for message in relay.messages:
        number = message.sender.split("@")[0]
        assert all(to.endswith(f"@{number}.test") for to in message.recipients), f"{seed}: envelopes mixed up"
        assert message.octets.startswith(b"Subject: %s\r\n" % number[1:].encode()), f"{seed}: contents mixed up"
    for id in feed.outcomes:
        for number, kind in enumerate(feed.kinds(id)):
            copies = there[id, f"r{number}@{id}.test"]
            allowed = {"Delivered": {1}, "Unconfirmed": {0, 1}}.get(kind, {0})
            assert copies in allowed, f"{seed}: {id} to recipient {number} is {kind} with {copies} copies"
    assert {id for id, _ in there} <= set(feed.outcomes), f"{seed}: something was sent that nobody knows of"


@pytest.mark.parametrize("extensions", [DATA, PLAIN], ids=["data", "lock-step"])
def test_octets_without_sense_end_every_session_and_deliver_nothing(extensions: tuple[str, ...]) -> None:
    async def babble(seed: int) -> Any:
        chance = random.Random(seed)
        noise = chance.randbytes(chance.randrange(1, 3000))
        if chance.random() < 0.5:
            noise = b"".join(
                chance.choice([b"250", b"354", b"-", b" ", b"\r\n", b"421", b"\0", b"x"]) for _ in range(60)
            )
        key = chance.choice(["MAIL", "RCPT", "DATA"])
        async with Relay({key: [Say(noise, hang_up=True)]}, extensions=extensions) as relay:
            _, feed = await send(relay, shipment("m0"), shipment("m1"))
        return feed, relay

    for seed in range(60):
        feed, relay = asyncio.run(babble(seed))
        delivered = [id for id in feed.outcomes if feed.kinds(id) == ["Delivered"]]
        assert len(delivered) <= len(relay.messages), seed
