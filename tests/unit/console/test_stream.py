"""The stream of events: what changed is named, who falls behind is let go, and nothing works while nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.console import stream as module
from gateway.console.ask import Ask
from gateway.console.sessions import IDLE, SessionBook
from gateway.console.stream import BEHIND, MOST_PER_SESSION, MOST_STREAMS, Full, Hub
from gateway.control.console_rows import GoneRow
from tests.support.clock import FakeClock
from tests.unit.console.overviews import overview


class FakeDesk:
    """The operations that the hub asks; events are put in by tests. Counts what is asked and who still listens."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked: list[str] = []
        self.listening = 0

    async def handle(self, operation: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        self.asked.append(operation)
        if operation == "watch":
            self.listening += 1
            try:
                while True:
                    yield await self.events.get()
            finally:
                self.listening -= 1
        elif operation == "rows":
            for item in arguments["ids"]:
                yield GoneRow(id=item)
        elif operation == "overview":
            yield overview()


def hub(desk: FakeDesk, book: SessionBook) -> Hub:
    return Hub(Ask(desk.handle), book, lambda o: {"messages": o.queue.messages}, lambda text: None)


async def next_event(chunks: AsyncIterator[bytes], name: str) -> Any:
    """The data of the next event of that name."""
    async with asyncio.timeout(5):
        async for chunk in chunks:
            head, _, data = chunk.partition(b"\ndata: ")
            if head == b"event: " + name.encode():
                return msgspec.json.decode(data)
    raise AssertionError(f"the stream ended before {name}")


def test_a_change_is_told_by_name_and_many_changes_at_once_as_stale() -> None:
    async def body() -> None:
        desk, book = FakeDesk(), SessionBook(FakeClock())
        made = hub(desk, book)
        chunks = made.read(made.admit(None), None)
        assert await next_event(chunks, "hello") == {}
        assert await next_event(chunks, "overview") == {"messages": 3}
        desk.events.put_nowait({"kind": "received", "id": "k7"})
        assert await next_event(chunks, "rows") == {"rows": [], "gone": ["k7"]}
        desk.events.put_nowait({"kind": "mode"})
        assert await next_event(chunks, "stale") == {}
        await made.stop()

    asyncio.run(body())


def test_nothing_is_asked_while_nobody_looks() -> None:
    async def body() -> None:
        desk, book = FakeDesk(), SessionBook(FakeClock())
        made = hub(desk, book)
        assert not desk.asked
        reader = made.admit(None)
        chunks = made.read(reader, None)
        await next_event(chunks, "overview")
        assert desk.listening == 1
        await chunks.aclose()  # type: ignore[attr-defined]  # an async generator behind its interface
        await made.stop()
        assert desk.listening == 0

    asyncio.run(body())


def test_w14_a_reader_that_falls_behind_is_let_go_and_the_others_stay() -> None:
    async def body() -> None:
        desk, book = FakeDesk(), SessionBook(FakeClock())
        made = hub(desk, book)
        slow, quick = made.admit(None), made.admit(None)
        for _ in range(BEHIND + 1):
            made._send(b"x")
            quick.get_nowait()
        assert slow not in made._readers
        assert quick in made._readers
        assert slow.qsize() <= BEHIND + 1
        await made.stop()

    asyncio.run(body())


def test_w14_streams_are_bounded_for_a_session_and_in_all() -> None:
    async def body() -> None:
        book = SessionBook(FakeClock())
        made = hub(FakeDesk(), book)
        _, session = book.begin("viewer")
        for _ in range(MOST_PER_SESSION):
            made.admit(session)
        with pytest.raises(Full):
            made.admit(session)
        for _ in range(MOST_STREAMS - MOST_PER_SESSION):
            made.admit(None)
        with pytest.raises(Full):
            made.admit(None)
        await made.stop()

    asyncio.run(body())


def test_w13_a_stream_looks_each_minute_whether_its_session_is_still_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_EVERY", 0.01)

    async def body() -> None:
        clock = FakeClock()
        book = SessionBook(clock)
        made = hub(FakeDesk(), book)
        _, session = book.begin("viewer")
        chunks = made.read(made.admit(session), session)
        await next_event(chunks, "overview")
        clock.advance(IDLE + 1)
        async with asyncio.timeout(5):
            rest = [chunk async for chunk in chunks]
        assert all(chunk.startswith(b"event: still") for chunk in rest)
        assert session.streams == 0
        await made.stop()

    asyncio.run(body())


def test_w12_a_stream_ends_at_once_with_its_session() -> None:
    async def body() -> None:
        book = SessionBook(FakeClock())
        made = hub(FakeDesk(), book)
        _, session = book.begin("operator")
        chunks = made.read(made.admit(session), session)
        await next_event(chunks, "overview")
        book.end(session)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in chunks] == []
        await made.stop()

    asyncio.run(body())
