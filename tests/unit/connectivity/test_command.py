"""A command of the user's: a real process, a small one."""

from __future__ import annotations

import asyncio
import os

import pytest

from gateway.connectivity.command import Command


def test_a_command_that_never_stops_talking_does_not_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_row = longest = 0

    def talk(descriptor: int, count: int) -> bytes:
        nonlocal in_a_row, longest
        in_a_row += 1
        longest = max(longest, in_a_row)
        return b"x" * count if longest < 1000 else b""  # those who write are always quicker

    async def others() -> None:
        nonlocal in_a_row
        while True:
            in_a_row = 0
            await asyncio.sleep(0)

    async def body() -> None:
        command = Command.start(("true",), {})
        monkeypatch.setattr(os, "read", talk)
        others_work = asyncio.create_task(others())
        try:
            assert await command.wait() == 0
        finally:
            monkeypatch.undo()
            others_work.cancel()
        command.let_go()

    asyncio.run(body())
    assert 0 < longest <= 100
