"""The scripted relay in a thread with an event loop of its own, for tests whose gateway is another process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from tests.support.relay import Message, Relay, Script


class RelayThread:
    """`with RelayThread() as relay:`; `relay.port`, `relay.messages`. `cut()` closes it, `again()` listens on the same port."""

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        self._script, self._options = script, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> RelayThread:
        self._thread.start()
        self.relay = Relay(self._script, **self._options)
        self._do(self.relay.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self.relay.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @property
    def port(self) -> int:
        return self.relay.port

    @property
    def messages(self) -> list[Message]:
        return self.relay.messages

    @property
    def settings(self) -> str:
        """The lines of gateway.yaml that name it."""
        return f"relays:\n  - {{name: isp, host: 127.0.0.1, port: {self.port}, tls: none}}\n"
