"""The gateway's end of `control.sock`. The socket's file mode (0600) is the guard; a client that does not read is let go.

What a client may cost is bounded: the length of a request, the number of clients, the time for a request and for reading an
answer, and what is written ahead of a reader. A client that hangs up ends its operation at once. What operations do is the
handler's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from gateway.control.paths import reachable
from gateway.control.protocol import MAX_REQUEST, End, Handler, Refusal, decode_request, encode
from gateway.errors import Exit, GatewayError, SpoolError, SpoolLocked

SLICE = 50
"""Results written before the event loop gets its turn: a long queue must not keep mail waiting."""

AHEAD = 256 * 1024
"""Octets written ahead of a reader before the operation has to wait for it."""


class _Gone(Exception):
    """The client hung up, or did not read in time: nothing is owed to it."""


class ControlServer:
    """Serves `handler` at `path`. `idle`: seconds a client may take for a request, or for reading a part of an answer.

    `on_fault(text)` is told of an operation that ended by a fault of ours; the client gets a refusal with exit code 70.
    """

    def __init__(
        self,
        path: Path,
        handler: Handler,
        *,
        max_clients: int = 64,
        idle: float = 60.0,
        on_fault: Callable[[str], None] | None = None,
    ) -> None:
        self._path, self._handler, self._on_fault = path, handler, on_fault
        self._max_clients, self._idle = max_clients, idle
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that nobody answers is replaced; raises SpoolLocked if somebody does, SpoolError where there is
        something else under that name or the folder does not take it."""
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
        except OSError as exc:
            listener.close()
            raise SpoolError(f"the control socket {self._path} cannot be made: {exc.strerror or exc}") from exc
        except BaseException:
            listener.close()
            raise

    def _clear_the_way(self, address: str) -> None:
        """Take away the socket of a gateway that died. Only a refusal shows that nobody listens: a gateway that is busy
        lets us wait, and is alive."""
        try:
            mode = os.lstat(address).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise SpoolError(f"{self._path} is not a socket; it is not ours to remove")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(address)
            except OSError as exc:
                if exc.errno in (errno.ECONNREFUSED, errno.ENOENT):
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
        self._server = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(high=AHEAD)
        try:
            if len(self._clients) > self._max_clients:
                await self._write(writer, Refusal("too many commands at once", Exit.TEMP_FAIL))
            else:
                await _Conversation(self, reader, writer).run()
            await self._hang_up(writer)
        except (_Gone, asyncio.CancelledError):  # the latter: we are stopping
            pass
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        """Close when the rest of the answer is read, or after a while all the same."""
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._idle):
                await writer.wait_closed()

    async def _write(self, writer: asyncio.StreamWriter, message: object) -> None:
        writer.write(encode(message))
        try:
            async with asyncio.timeout(self._idle):
                await writer.drain()
        except (OSError, TimeoutError) as exc:
            raise _Gone from exc

    def _fault(self, operation: str, exc: Exception) -> Refusal:
        text = f"{operation[:40]} failed by a fault of the gateway: {type(exc).__name__}: {exc}"[:500]
        if self._on_fault is not None:
            self._on_fault(text)
        return Refusal(text, Exit.SOFTWARE)


class _Conversation:
    """One client. The next request is read while an answer is written, since only reading shows that a client left."""

    def __init__(self, server: ControlServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer

    async def run(self) -> None:
        server, writer = self._server, self._writer
        request = asyncio.create_task(self._reader.readuntil(b"\n"))
        try:
            while True:
                try:
                    async with asyncio.timeout(server._idle):
                        line = await request
                except (asyncio.IncompleteReadError, OSError, TimeoutError):
                    return
                except asyncio.LimitOverrunError:
                    await server._write(writer, Refusal(f"a request is longer than {MAX_REQUEST} octets", Exit.USAGE))
                    return
                try:
                    operation, arguments = decode_request(line)
                except ValueError as exc:
                    await server._write(writer, Refusal(str(exc), Exit.USAGE))
                    return
                request = asyncio.create_task(self._reader.readuntil(b"\n"))
                await self._answer_while_there(operation, arguments, request)
        finally:
            request.cancel()
            with contextlib.suppress(
                asyncio.CancelledError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError
            ):
                await request

    async def _answer_while_there(
        self, operation: str, arguments: dict[str, object], request: asyncio.Task[bytes]
    ) -> None:
        answer = asyncio.create_task(self._answer(operation, arguments))
        try:
            await asyncio.wait({answer, request}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and self._has_left(request):
                return
            await answer
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    def _has_left(self, request: asyncio.Task[bytes]) -> bool:
        """Did the client hang up, rather than only say that it asks nothing more (`shutdown` of its writing side)?"""
        if request.cancelled() or request.exception() is None:
            return False
        connection = self._writer.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return True
        poller = select.poll()
        poller.register(connection.fileno(), 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poller.poll(0))

    async def _answer(self, operation: str, arguments: dict[str, object]) -> None:
        results = self._server._handler(operation, arguments)
        last: End | Refusal = End()
        written = 0
        try:
            async for result in results:
                await self._server._write(self._writer, result)
                written += 1
                if written % SLICE == 0:
                    await asyncio.sleep(0)
        except GatewayError as exc:
            last = Refusal(str(exc), exc.exit_code)
        except _Gone:
            raise
        except Exception as exc:  # the top of a client's operation: it is told, and the others live on
            last = self._server._fault(operation, exc)
        finally:
            if isinstance(results, AsyncGenerator):
                await results.aclose()
        await self._server._write(self._writer, last)
