"""A client's TCP connection, between its socket and its protocol: what asyncio's own transport does, in fewer steps.

A device that sends one message opens a connection for it, and asyncio's transport is a good part of the work that this message
is: objects and rounds of the event loop for what nobody here asks. This one is made and greets within the call that brings its
client, and is gone within the call that brings the last octet. It asks the kernel at each call not to wait, so that the socket
itself need not be told.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from gateway import eventloop

HIGH_WATER = 64 * 1024
"""Octets that the kernel did not take yet, above which the protocol is told to pause."""

LOW_WATER = HIGH_WATER // 4

_RECEIVE = int(socket.MSG_DONTWAIT)
_SEND = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_MORE = (BlockingIOError, InterruptedError)


class ClientTransport(asyncio.Transport):
    """Reads into its protocol's own buffer (`asyncio.BufferedProtocol`). Whoever makes it calls `begin`.

    As with asyncio's, what is written is sent in order, `close` sends it all before, `abort` does not, and the protocol hears
    of the end once. Where it is closed by us with nothing left to send, it hears of it within `close`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: socket.socket, peername: Any) -> None:
        super().__init__()
        self._loop, self._socket, self._peername = loop, client, peername
        self._descriptor = client.fileno()
        self._protocol: asyncio.BufferedProtocol | None = None
        self._unsent = bytearray()
        self._is_reading = self._is_paused = False
        self._is_closing = self._is_over = False
        self._wants_end = self._has_waited = self._is_handed_on = False

    def begin(self, protocol: asyncio.BufferedProtocol) -> None:
        """Tell the protocol that it is connected, and read for it from now on."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._read_on()

    # What a protocol asks.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peername if name == "peername" else self._socket if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another one has it from now on, and hears of what happens in a round of its own, as from asyncio's transport: TLS."""
        self._protocol = cast(asyncio.BufferedProtocol, protocol)
        self._is_handed_on = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return not self._is_closing and not self._is_paused

    def pause_reading(self) -> None:
        self._is_paused = True
        self._read_no_more()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._read_on()

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data or self._is_over or (self._is_closing and not self._unsent):
            return  # too late: its end has come, or is on its way
        if self._wants_end:
            raise RuntimeError("nothing can be written behind the end")
        if not self._unsent:
            try:
                sent = self._socket.send(data, _SEND)
            except _MORE:
                sent = 0
            except OSError as exc:
                self._force_close(exc)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            self._loop.add_writer(self._descriptor, self._may_write)
        self._unsent += data
        if len(self._unsent) > HIGH_WATER and not self._has_waited:
            self._has_waited = True
            self.get_protocol().pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._is_closing or self._wants_end:
            return
        self._wants_end = True
        if not self._unsent:
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._read_no_more()
        if self._unsent:
            return  # its end follows when that is sent
        if self._is_handed_on:
            self._loop.call_soon(self._end, None)
        else:
            self._end(None)

    def abort(self) -> None:
        self._force_close(None)

    # What the kernel says.

    def _may_read(self) -> None:
        protocol = self._protocol
        assert protocol is not None
        try:
            count = self._socket.recv_into(protocol.get_buffer(-1), 0, _RECEIVE)
        except _MORE:
            return
        except OSError as exc:
            self._force_close(exc)
            return
        try:
            if count:
                protocol.buffer_updated(count)
            elif protocol.eof_received():
                self._read_no_more()  # the replies still owed may go
            else:
                self.close()
        except BaseException:  # a fault of ours, of which the event loop will tell
            self._force_close(None)
            raise

    def _may_write(self) -> None:
        try:
            sent = self._socket.send(self._unsent, _SEND)
        except _MORE:
            return
        except OSError as exc:
            self._force_close(exc)
            return
        del self._unsent[:sent]
        if not self._unsent:  # before the protocol hears of it, and perhaps closes it
            self._loop.remove_writer(self._descriptor)
        if self._has_waited and len(self._unsent) <= LOW_WATER:
            self._has_waited = False
            self.get_protocol().resume_writing()
        if self._unsent or self._is_over:
            return
        if self._is_closing:
            self._end(None)
        elif self._wants_end:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as exc:
                self._force_close(exc)

    def _read_on(self) -> None:
        if not (self._is_reading or self._is_paused or self._is_closing):
            self._is_reading = True
            eventloop.watch(self._loop, self._descriptor, self._may_read)

    def _read_no_more(self) -> None:
        if self._is_reading:
            self._is_reading = False
            eventloop.unwatch(self._loop, self._descriptor)

    # The end.

    def _force_close(self, error: BaseException | None) -> None:
        """What is not sent is not wanted any more. asyncio's TLS calls it so."""
        if self._is_over or (self._is_closing and not self._unsent):
            return  # its end is on its way
        self._is_closing = True
        self._read_no_more()
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._descriptor)
        self._loop.call_soon(self._end, error)

    def _end(self, error: BaseException | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:
            self.get_protocol().connection_lost(cast(Exception | None, error))
        finally:
            self._socket.close()
            self._protocol = None
