"""Standing orders: the chosen mode and the commands for once, as they live in the spool's state over restarts.

`mode X` lasts until the next `mode`, until its `--for` is over (then what was before comes back), or until `mode:` in
gateway.yaml changes (DESIGN section 6). Openings by hand and skips last until they end (section 5, rule 9). Pure values; the
dispatcher saves them under the state name `orders`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.config.settings import ModeName
from gateway.schedule.calendar import Once, Skip

STATE = "orders"

LONGEST_ORDER = 30 * 86400.0
"""Seconds: an order that ends later than this is taken for one that another clock gave."""


class Orders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`mode_in_file` is what gateway.yaml said when `mode` was chosen; instants are seconds since 1970."""

    mode: ModeName = "auto"
    mode_in_file: ModeName = "auto"
    mode_until: float | None = None
    mode_before: ModeName = "auto"
    mode_by: str | None = None
    once: tuple[tuple[float, float], ...] = ()
    skips: tuple[tuple[str, float, float], ...] = ()  # window, opens, closes

    def openings(self) -> list[Once]:
        return [Once(opens, closes) for opens, closes in self.once]

    def skipped(self) -> list[Skip]:
        return [Skip(window, opens) for window, opens, _ in self.skips]


def decode(octets: bytes | None, mode_in_file: ModeName) -> Orders:
    """The orders as saved; those of the file alone where there are none or they cannot be read."""
    if octets is not None:
        try:
            saved = msgspec.json.decode(octets, type=Orders)
        except msgspec.MsgspecError:
            saved = None  # written by another version: the file's mode is the safe one to fall back to
        if saved is not None:
            return with_file(saved, mode_in_file)
    return Orders(mode=mode_in_file, mode_in_file=mode_in_file, mode_before=mode_in_file)


def encode(orders: Orders) -> bytes:
    return msgspec.json.format(msgspec.json.encode(orders)) + b"\n"


def with_file(orders: Orders, mode_in_file: ModeName) -> Orders:
    """The file's `mode:` was read again: if it changed, it ends what a command had chosen."""
    if orders.mode_in_file == mode_in_file:
        return orders
    return msgspec.structs.replace(
        orders, mode=mode_in_file, mode_in_file=mode_in_file, mode_until=None, mode_before=mode_in_file, mode_by=None
    )


def with_mode(orders: Orders, mode: ModeName, now: float, lasting: float | None) -> Orders:
    """A command chose a mode, for `lasting` seconds or for good. A second `--for` keeps what was before the first."""
    before = orders.mode_before if orders.mode_until is not None and orders.mode_until > now else orders.mode
    until = None if lasting is None else now + lasting
    return msgspec.structs.replace(
        orders, mode=mode, mode_until=until, mode_before=before if lasting is not None else mode, mode_by="command"
    )


def with_once(orders: Orders, once: Iterable[tuple[float, float]]) -> Orders:
    return msgspec.structs.replace(orders, once=tuple(once))


def with_skips(orders: Orders, skips: Iterable[tuple[str, float, float]]) -> Orders:
    return msgspec.structs.replace(orders, skips=tuple(skips))


def stepped(orders: Orders, seconds: float, now: float) -> Orders:
    """The clock jumped by so many seconds, to `now`: what an operator ordered for a while lasts as long as it would have.

    What ends further away than any order reaches was given by another clock, before a start with one that is not set: a jump
    forward from there brings it back into its own time, and moves it no further.
    """
    until = orders.mode_until
    if until is not None and (seconds < 0 or until - (now - seconds) <= LONGEST_ORDER):
        until = max(now, until + seconds)
    once = tuple(
        (opens + seconds, closes + seconds) if seconds < 0 or opens <= now - seconds < closes else (opens, closes)
        for opens, closes in orders.once
    )
    return msgspec.structs.replace(orders, mode_until=until, once=once)


def settled(orders: Orders, now: float) -> Orders:
    """What is over is gone: a `--for` whose time has come, openings and skips that have ended."""
    if orders.mode_until is not None and now >= orders.mode_until:
        orders = msgspec.structs.replace(orders, mode=orders.mode_before, mode_until=None, mode_by=None)
    once = tuple(pair for pair in orders.once if pair[1] > now)
    skips = tuple(skip for skip in orders.skips if skip[2] > now)
    if once != orders.once or skips != orders.skips:
        orders = msgspec.structs.replace(orders, once=once, skips=skips)
    return orders
