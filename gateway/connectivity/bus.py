"""One connection to a message bus (D-Bus): calls and signals in plain values. The home of dbus-fast, of the extra `nm`.

Importing this module loads it (some 4 MB), so only who asks a bus does. Nothing here starts a service, and nothing is polled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.errors import DBusFastError
from dbus_fast.unpack import unpack_variants

TIMEOUT = 5.0
"""Seconds for one call, and for coming in."""

BUS = "org.freedesktop.DBus"


class BusFailed(Exception):
    """The bus, or a service on it, did not answer as it should. `error`: the D-Bus name of the error, if it sent one; empty
    where nothing came."""

    def __init__(self, text: str, error: str = "") -> None:
        super().__init__(text)
        self.error = error


@dataclass(frozen=True, slots=True)
class Signal:
    """`sender` is the unique name, which nobody else can have."""

    sender: str
    path: str
    interface: str
    member: str
    body: tuple[object, ...]


class Bus:
    """Made by `open_bus`. `on_signal` is called in the loop, for what was asked for by `listen` and for what anybody sends to
    us alone: who cares looks at the sender."""

    def __init__(self, bus: MessageBus, on_signal: Callable[[Signal], None]) -> None:
        self._bus, self._on_signal = bus, on_signal
        self._awaited: dict[int, asyncio.Future[Message]] = {}
        bus.add_message_handler(self._hear)

    async def call(self, to: str, path: str, interface: str, member: str, *texts: str) -> list[object]:
        """What the method answers, without variants; its arguments are texts. Raises BusFailed."""
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            flags=MessageFlag.NO_AUTOSTART,
            signature="s" * len(texts),
            body=list(texts),
        )
        # Not the library's own call: it drops the future of the write, and asyncio complains of it when the bus goes away.
        serial = self._bus.next_serial()
        message.serial = serial
        self._awaited[serial] = answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._bus.send(message)
                reply = await answer
        except TimeoutError as exc:
            raise BusFailed(f"{to} does not answer within {TIMEOUT:g} s") from exc
        except (DBusFastError, OSError, EOFError) as exc:
            raise BusFailed(f"{to} cannot be asked: {exc}") from exc
        finally:
            del self._awaited[serial]
        if reply.message_type is not MessageType.METHOD_RETURN:
            error = reply.error_name or "an error"
            raise BusFailed(f"{to} answers {member} with {error}", error)
        return list(unpack_variants(reply.body))

    async def owner(self, name: str) -> str | None:
        """The unique name of who owns a name now; None where nobody does. Raises BusFailed."""
        try:
            answer = await self.call(BUS, "/org/freedesktop/DBus", BUS, "GetNameOwner", name)
        except BusFailed as exc:
            if exc.error == "org.freedesktop.DBus.Error.NameHasNoOwner":
                return None
            raise
        return str(answer[0])

    async def listen(self, rule: str) -> None:
        """Hear signals that match, too. Raises BusFailed."""
        await self.call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", rule)

    async def lost(self) -> str:
        """Returns, with the reason, when the bus is gone."""
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # the library left its types out
        except (DBusFastError, OSError, EOFError) as exc:
            return str(exc) or type(exc).__name__
        return "it hung up"

    def close(self) -> None:
        with contextlib.suppress(DBusFastError, OSError):
            self._bus.disconnect()

    def _hear(self, message: Message) -> None:
        answer = self._awaited.get(message.reply_serial or 0)
        if answer is not None and not answer.done():
            answer.set_result(message)
        elif message.message_type is MessageType.SIGNAL:
            body = tuple(unpack_variants(message.body))
            self._on_signal(
                Signal(message.sender or "", message.path or "", message.interface or "", message.member or "", body)
            )


async def open_bus(address: str, on_signal: Callable[[Signal], None]) -> Bus:
    """`address` as D-Bus writes them (`unix:path=/run/dbus/system_bus_socket`). Raises BusFailed."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return Bus(await MessageBus(address).connect(), on_signal)
    except TimeoutError as exc:
        raise BusFailed(f"the bus at {address} does not answer within {TIMEOUT:g} s") from exc
    except (DBusFastError, OSError, EOFError) as exc:
        raise BusFailed(f"the bus at {address} cannot be used: {exc}") from exc
