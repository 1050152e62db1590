"""Asking the gateway: its operations, as `control.sock` serves them, over the handler that the console was given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from gateway.control.protocol import Handler


class Ask:
    """Raises GatewayError where the gateway refuses."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def each(self, operation: str, /, **arguments: object) -> AsyncIterator[Any]:
        """Every result, as it comes. What is asked ends with this iterator."""
        results: Any = self._handler(operation, {k: v for k, v in arguments.items() if v is not None})
        async with aclosing(results):
            async for result in results:
                yield result

    async def one(self, operation: str, /, **arguments: object) -> Any:
        """The only result."""
        results: Any = self.each(operation, **arguments)
        async with aclosing(results):
            async for result in results:
                return result
        raise RuntimeError(f"{operation} gave no result")
