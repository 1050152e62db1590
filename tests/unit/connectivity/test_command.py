"""A command of the user's: a real process, a small one."""

from __future__ import annotations

import asyncio
import os

import pytest

from gateway.connectivity.command import Command


def test_a_command_that_never_stops_talking_does_not_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = 0

    def talk(descriptor: int, count: int) -> bytes:
        nonlocal heard
        heard += 1
        return b"x" * count if heard < 10_000 else b""  # those who write are always quicker

    async def body() -> None:
        command = Command.start(("true",), {})
        monkeypatch.setattr(os, "read", talk)
        try:
            assert await command.wait() == 0
        finally:
            monkeypatch.undo()
        command.let_go()

    asyncio.run(body())
    assert 0 < heard < 1000
