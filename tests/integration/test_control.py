"""`control.sock` with real sockets: who may speak, what a client may cost, and how it learns that nobody answers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.control import protocol
from gateway.control.client import Refused, call
from gateway.control.server import ControlServer
from gateway.errors import Exit, NotNow, NotRunning, SpoolError, SpoolLocked
from tests.support.answering import answering


class Desk:
    """A handler that counts, refuses, breaks, or goes on for ever."""

    def __init__(self) -> None:
        self.running = 0
        self.produced = 0
        self.changed = asyncio.Event()

    async def handle(self, operation: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        self.running += 1
        self.changed.set()
        try:
            match operation:
                case "count":
                    for number in range(int(arguments["to"])):
                        yield {"number": number}
                case "refuse":
                    yield {"number": 0}
                    raise NotNow("nothing can leave now")
                case "break":
                    raise KeyError("no such thing")
                case "wait":
                    yield {"waiting": True}
                    await asyncio.Event().wait()
                case "flood":
                    while True:
                        yield {"text": "x" * 4000}
                        self.produced += 1
                case _:
                    raise AssertionError(operation)
        finally:
            self.running -= 1
            self.changed.set()

    async def until(self, running: int) -> None:
        async with asyncio.timeout(10):
            while self.running != running:
                self.changed.clear()
                await self.changed.wait()


def serving(path: Path, body: Callable[[Desk], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        desk = Desk()
        server = ControlServer(path, desk.handle, **options)
        await server.start()
        try:
            async with asyncio.timeout(20):
                await body(desk)
        finally:
            await server.stop()

    asyncio.run(main())


async def ask(path: Path, operation: str, **arguments: object) -> list[dict[str, Any]]:
    return await asyncio.to_thread(lambda: list(call(path, operation, timeout=10, **arguments)))


def test_results_come_in_order_and_the_socket_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        assert [row["number"] for row in await ask(path, "count", to=500)] == list(range(500))
        assert await ask(path, "count", to=0) == []

    serving(path, body)
    assert not path.exists()


@pytest.mark.parametrize("answer", [b"\n", b"220 mx\n", b"[1]\n", b"\xff\n", b'{"a": ' * 99999 + b"\n"])
def test_what_answers_without_being_a_gateway_is_told_from_one(answer: bytes, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with answering(path, answer), pytest.raises(NotRunning, match="is no gateway"):
        list(call(path, "queue"))


def test_only_its_owner_may_speak(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600

    before = os.umask(0)
    try:
        serving(path, body)
    finally:
        os.umask(before)


def test_a_refusal_carries_its_exit_code_after_what_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk

        def client() -> None:
            answers = call(path, "refuse")
            assert next(answers) == {"number": 0}
            with pytest.raises(Refused, match="nothing can leave now") as caught:
                next(answers)
            assert caught.value.exit_code is Exit.TEMP_FAIL

        await asyncio.to_thread(client)

    serving(path, body)


def test_a_fault_of_ours_ends_one_operation_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    told: list[str] = []

    async def body(desk: Desk) -> None:
        del desk
        with pytest.raises(Refused, match="fault of the gateway") as caught:
            await ask(path, "break")
        assert caught.value.exit_code is Exit.SOFTWARE
        assert len(await ask(path, "count", to=3)) == 3

    serving(path, body, on_fault=told.append)
    assert len(told) == 1
    assert "no such thing" in told[0]


def test_nobody_there_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="not running"):
        list(call(tmp_path / "control.sock", "status"))
    with pytest.raises(NotRunning):
        list(call(tmp_path / "no such folder" / "control.sock", "status"))


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(NotRunning):
        list(call(path, "status"))

    async def body(desk: Desk) -> None:
        del desk
        assert len(await ask(path, "count", to=1)) == 1

    serving(path, body)


def test_a_living_gateway_keeps_its_socket_even_when_it_is_too_busy_to_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))  # the queue of connections is full now
            with pytest.raises(SpoolLocked):
                serving(path, lambda desk: asyncio.sleep(0))
        assert path.exists()


def test_a_file_under_that_name_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(SpoolError, match="not a socket"):
        serving(path, lambda desk: asyncio.sleep(0))
    assert path.read_text() == "mine"


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    path = folder / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        assert len(await ask(path, "count", to=2)) == 2

    serving(path, body)
    serving(path, body)
    assert not path.exists()


def test_a_client_that_hangs_up_ends_its_operation_at_once(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"op": "wait"}\n')
        assert json.loads(await reader.readline()) == {"waiting": True}
        assert desk.running == 1
        writer.close()
        await desk.until(0)

    serving(path, body)


def test_a_client_that_only_says_that_it_asks_nothing_more_gets_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"op": "count", "to": 2000}\n')
        writer.write_eof()
        lines = (await reader.read()).splitlines()
        assert len(lines) == 2001
        assert json.loads(lines[-1]) == {"end": True}
        writer.close()

    serving(path, body)


def test_several_requests_on_one_connection_are_answered_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"op": "count", "to": 1}\n{"op": "refuse"}\n{"op": "count", "to": 0}\n')
        writer.write_eof()
        answers = [json.loads(line) for line in (await reader.read()).splitlines()]
        refusal = {"error": "nothing can leave now", "exit": 75}
        assert answers == [{"number": 0}, {"end": True}, {"number": 0}, refusal, {"end": True}]
        writer.close()

    serving(path, body)


def test_a_reader_that_stops_reading_is_let_go_and_the_others_are_served_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            slow.sendall(b'{"op": "flood"}\n')
            await desk.until(1)
            assert len(await ask(path, "count", to=100)) == 100
            await desk.until(0)
            assert desk.produced * 4000 < 8_000_000  # what was written ahead is bounded

    serving(path, body, idle=0.3)


def test_a_client_that_asks_nothing_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        del desk
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"op": ')
        assert await reader.read() == b""
        writer.close()

    serving(path, body, idle=0.2)


def test_a_request_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr("gateway.control.server.MAX_REQUEST", 1000)

    async def body(desk: Desk) -> None:
        del desk
        with socket.socket(socket.AF_UNIX) as endless:
            endless.settimeout(5)
            endless.connect(str(path))
            endless.sendall(b"x" * 5000)
            answer = await asyncio.to_thread(lambda: endless.recv(4096))
            assert json.loads(answer)["exit"] == 64

    serving(path, body)
    assert protocol.MAX_REQUEST == 1 << 20


def test_random_octets_harm_nobody(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    dice = random.Random(7)
    words = [
        b'{"op": "count", "to": 3}\n',
        b'{"op": "refuse"}',
        b"\n",
        b"\0",
        b'{"op": "break"}\n',
        b"[]\n",
        b'{"op"',
        b"\xff" * 40,
    ]

    async def body(desk: Desk) -> None:
        for _ in range(150):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"".join(dice.choices([*words, dice.randbytes(30)], k=dice.randrange(6))))
                if dice.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
                if dice.random() < 0.5:
                    await asyncio.sleep(0)
        assert len(await ask(path, "count", to=5)) == 5
        await desk.until(0)

    serving(path, body)


def test_beyond_the_bound_of_clients_one_is_turned_away_and_the_rest_stay(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body(desk: Desk) -> None:
        kept = [await asyncio.open_unix_connection(str(path)) for _ in range(2)]
        for _, writer in kept:
            writer.write(b'{"op": "wait"}\n')
        await desk.until(2)
        with pytest.raises(Refused, match="too many") as caught:
            await ask(path, "count", to=1)
        assert caught.value.exit_code is Exit.TEMP_FAIL
        for _, writer in kept:
            writer.close()
        await desk.until(0)
        assert len(await ask(path, "count", to=1)) == 1

    serving(path, body, max_clients=2)


def test_stopping_lets_clients_go_that_would_wait_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    seen: list[Desk] = []
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as watching:

        async def body(desk: Desk) -> None:
            seen.append(desk)
            slow.connect(str(path))
            slow.sendall(b'{"op": "flood"}\n')
            watching.connect(str(path))
            watching.sendall(b'{"op": "wait"}\n')
            await desk.until(2)

        serving(path, body)
    assert seen[0].running == 0


def test_an_answer_that_is_no_gateways_is_not_running(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    for answer in (b"", b"hello\n", b"[1]\n", b'{"end": tr'):
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen(1)
            answers = call(path, "status", timeout=5)

            def reply(octets: bytes = answer, listener: socket.socket = other) -> None:
                connection, _ = listener.accept()
                connection.recv(1000)
                connection.sendall(octets)
                connection.close()

            async def body(results: Any = answers, serve: Callable[[], None] = reply) -> None:
                serving_it = asyncio.to_thread(serve)
                asking = asyncio.to_thread(lambda: list(results))
                await asyncio.gather(serving_it, asking)

            with pytest.raises(NotRunning):
                asyncio.run(body())
