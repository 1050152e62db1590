"""What changes, to every open page: one listener to the gateway's events, one look at what they changed, many readers.

The hub works only while somebody looks. A reader that does not keep up is let go; its page connects again and reads anew.
Events name messages; what a message is now is asked of the queue, since order and truth are there.

    event: hello      {}                         the stream stands; read what you show
    event: rows       {"rows": […], "gone": […]} messages that changed or left
    event: stale      {}                         too much changed to name it: read again
    event: overview   {…}                        what stands above the table
    event: sending    {"sending": […]}           progress of what is being sent
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from gateway.console.ask import Ask
from gateway.console.sessions import Session, SessionBook
from gateway.control.console_rows import GoneRow, Overview

MOST_STREAMS = 64
MOST_PER_SESSION = 8
BEHIND = 50
"""Events that may wait for a reader; with more it is let go."""

GATHER = 0.08
"""Seconds in which changes are gathered before they are told."""

OVERVIEW_EVERY = 1.0
OVERVIEW_EVERY_LONG = 5.0
LONG = 2000
PROGRESS_EVERY = 1.0
CHECK_EVERY = 60.0
MOST_NAMED = 300

GENERAL = frozenset({"mode", "link", "window", "session", "alarm", "remark", "set-aside", "dial", "missed"})
EVERYTHING = frozenset({"mode", "window", "missed"})
"""After these Next Try of any message may be another."""


class Full(Exception):
    """As many pages are open as may be."""


class Hub:
    """`ask` is the gateway; `enrich(overview)` is what a page gets of an overview; `told(text)` hears of faults."""

    def __init__(
        self, ask: Ask, sessions: SessionBook, enrich: Callable[[Overview], object], told: Callable[[str], None]
    ) -> None:
        self._ask, self._sessions, self._enrich, self._told = ask, sessions, enrich, told
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self._work: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[None]] = set()  # the present one, and one that is ending
        self._changed: set[str] = set()
        self._is_stale = False
        self._general = False
        self._sending = False
        self._wake = asyncio.Event()

    async def stop(self) -> None:
        for reader in tuple(self._readers):
            self._let_go(reader)
        self._work = None
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    def admit(self, session: Session | None) -> asyncio.Queue[bytes | None]:
        """A place for a reader. Raises Full."""
        if len(self._readers) >= MOST_STREAMS or (session is not None and session.streams >= MOST_PER_SESSION):
            raise Full
        reader: asyncio.Queue[bytes | None] = asyncio.Queue(BEHIND + 1)
        self._readers.add(reader)
        if session is not None:
            session.streams += 1
        if self._work is None:
            self._work = asyncio.create_task(self._run(), name="console stream")
            self._works.add(self._work)
            self._work.add_done_callback(self._works.discard)
        return reader

    def leave(self, reader: asyncio.Queue[bytes | None], session: Session | None) -> None:
        self._readers.discard(reader)
        if session is not None:
            session.streams -= 1
        if not self._readers and self._work is not None:
            self._work.cancel()
            self._work = None

    async def read(self, reader: asyncio.Queue[bytes | None], session: Session | None) -> AsyncIterator[bytes]:
        """The stream of one page, until its session is over, it falls behind, or the console stops."""
        ended = asyncio.ensure_future(session.ended.wait()) if session is not None else None
        try:
            yield _event("hello", {})
            while session is None or self._sessions.is_alive(session):
                getting = asyncio.ensure_future(reader.get())
                waits = {getting} if ended is None else {getting, ended}
                try:
                    await asyncio.wait(waits, timeout=CHECK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not getting.done():
                        getting.cancel()
                if not getting.done() or getting.cancelled():
                    if ended is not None and ended.done():
                        return
                    yield _event("still", {})  # shows us whether anybody is there, and the page that we are
                    continue
                chunk = getting.result()
                if chunk is None:
                    return
                yield chunk
        finally:
            if ended is not None:
                ended.cancel()
            self.leave(reader, session)

    # -- the one that listens -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        listening = asyncio.create_task(self._listen(), name="console events")
        try:
            while True:
                await self._tell_overview()
                await self._until_changed()
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # the top of the hub: pages connect again and a new one begins
            self._told(f"the stream of events failed: {type(exc).__name__}: {exc}"[:300])
            for reader in tuple(self._readers):
                self._let_go(reader)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        async for event in self._ask.each("watch"):
            kind, item = event.get("kind"), event.get("id")
            if isinstance(item, str) and kind != "set-aside":
                if len(self._changed) < MOST_NAMED:
                    self._changed.add(item)
                else:
                    self._is_stale = True
            if kind in EVERYTHING:
                self._is_stale = True
            if kind in GENERAL:
                self._general = True
            if kind == "attempt":
                self._sending = True
            self._wake.set()

    async def _until_changed(self) -> None:
        """Tell rows at once and progress each second; return when the overview is due again."""
        loop = asyncio.get_running_loop()
        since, pending = loop.time(), False
        while True:
            wait: float | None = PROGRESS_EVERY if self._sending else None
            due = since + self._overview_pause
            if pending:
                wait = min(wait or due - loop.time(), max(0.0, due - loop.time()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            if self._wake.is_set():
                await asyncio.sleep(GATHER)
                self._wake.clear()
                pending = True
                await self._tell_rows()
            if self._sending:
                await self._tell_progress()
            if pending and loop.time() >= due:
                return

    @property
    def _overview_pause(self) -> float:
        return OVERVIEW_EVERY_LONG if self._is_long else OVERVIEW_EVERY

    _is_long = False

    async def _tell_rows(self) -> None:
        changed, self._changed = self._changed, set()
        stale, self._is_stale = self._is_stale, False
        if stale:
            self._send(_event("stale", {}))
        elif changed:
            rows: list[object] = []
            gone: list[str] = []
            async for row in self._ask.each("rows", ids=sorted(changed)):
                if isinstance(row, GoneRow):
                    gone.append(row.id)
                else:
                    rows.append(row)
            self._send(_event("rows", {"rows": rows, "gone": gone}))

    async def _tell_progress(self) -> None:
        rows = [row async for row in self._ask.each("sending")]
        self._sending = bool(rows)
        self._send(_event("sending", {"sending": rows}))

    async def _tell_overview(self) -> None:
        overview: Overview = await self._ask.one("overview")
        self._general = False
        self._is_long = overview.queue.messages > LONG
        self._sending = self._sending or bool(overview.sending)
        self._send(_event("overview", self._enrich(overview)))
        if not overview.queue.is_complete:
            asyncio.get_running_loop().call_later(1.0, self._wake.set)

    def _send(self, chunk: bytes) -> None:
        for reader in tuple(self._readers):
            if reader.qsize() >= BEHIND:
                self._let_go(reader)
            else:
                reader.put_nowait(chunk)

    def _let_go(self, reader: asyncio.Queue[bytes | None]) -> None:
        self._readers.discard(reader)
        with contextlib.suppress(asyncio.QueueFull):
            reader.put_nowait(None)


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"
