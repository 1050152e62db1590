"""The gateway's end of `control.sock`. The socket's file mode (0600) is the guard; a client that does not read is let go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from gateway.control.paths import reachable
from gateway.control.protocol import MAX_REQUEST, End, Handler, Refusal, decode_request, encode
from gateway.errors import Exit, GatewayError, SpoolLocked


class ControlServer:
    """Serves `handler` at `path`. `idle`: seconds a client may take for a request, or for reading an answer."""

    def __init__(self, path: Path, handler: Handler, *, max_clients: int = 64, idle: float = 60.0) -> None:
        self._path, self._handler = path, handler
        self._max_clients, self._idle = max_clients, idle
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket file that nobody answers is replaced; raises SpoolLocked if somebody does."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._path) as address:
                self._clear_the_way(address)
                before = os.umask(0o177)  # 0600 from the first moment, not only after a chmod
                try:
                    listener.bind(address)
                finally:
                    os.umask(before)
            listener.setblocking(False)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST)
        except BaseException:
            listener.close()
            raise

    def _clear_the_way(self, address: str) -> None:
        if not self._path.exists():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(address)
            except OSError:
                self._path.unlink(missing_ok=True)
                return
        raise SpoolLocked(f"another gateway answers at {self._path}")

    async def stop(self) -> None:
        """Let every client go and take the socket away."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) > self._max_clients:
                writer.write(encode(Refusal("too many commands at once", Exit.TEMP_FAIL)))
            else:
                await self._talk(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone or too slow, or we are stopping: nothing is owed to it
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    line = await reader.readuntil(b"\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return
            try:
                operation, arguments = decode_request(line)
            except ValueError as exc:
                writer.write(encode(Refusal(str(exc), Exit.USAGE)))
                return
            await self._answer(operation, arguments, writer)

    async def _answer(self, operation: str, arguments: dict[str, object], writer: asyncio.StreamWriter) -> None:
        try:
            async for result in self._handler(operation, arguments):
                writer.write(encode(result))
                async with asyncio.timeout(self._idle):
                    await writer.drain()
            last: End | Refusal = End()
        except GatewayError as exc:
            last = Refusal(str(exc), exc.exit_code)
        writer.write(encode(last))
        async with asyncio.timeout(self._idle):
            await writer.drain()
