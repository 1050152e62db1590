"""Queue IDs: this spool's tag (4 characters, made once by chance) and a counter (7, base 36). None is ever given twice.

`SPOOL/ids` holds the tag and the counter up to which IDs are reserved, one line `TAG LIMIT`. The limit is moved on durably, a
block at a time and ahead of need, so that a cut costs unused numbers and never repeats one. Where the file is lost or
unreadable a new tag is made: its IDs cannot meet the old ones.
"""

from __future__ import annotations

import re
import secrets

from gateway.durable import Disk, read_file, replace_file
from gateway.errors import SpoolError

BLOCK = 8192
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TAG_LENGTH, _COUNTER_LENGTH = 4, 7
MOST = 36**_COUNTER_LENGTH
_LINE = re.compile(rb"([a-z0-9]{4}) (\d{1,11})\n")


class Ids:
    """Gives IDs in memory; `reserve` (on a disk thread) keeps ahead of them. `next`: the counter of the next ID."""

    __slots__ = ("limit", "next", "tag")

    def __init__(self, tag: str, start: int) -> None:
        self.tag, self.next, self.limit = tag, start, start

    @classmethod
    def load(cls, disk: Disk, path: str) -> Ids:
        """The IDs of this spool, going on above all that were ever reserved. `reserve` must follow before the first `take`."""
        try:
            found = _LINE.fullmatch(read_file(disk, path, 64))
        except PermissionError:
            raise
        except OSError:
            found = None
        if found is None or int(found[2]) >= MOST:
            return cls("".join(secrets.choice(_DIGITS) for _ in range(_TAG_LENGTH)), 0)
        return cls(found[1].decode(), int(found[2]))

    @property
    def runs_low(self) -> bool:
        return self.limit - self.next < BLOCK // 2

    def reserve(self, disk: Disk, path: str, limit: int) -> None:
        """Write the new limit; the caller then sets it with `extend`. A cut leaves the old or the new line."""
        replace_file(disk, path, f"{self.tag} {limit}\n".encode(), durable=True)

    def extend(self, limit: int) -> None:
        self.limit = max(self.limit, limit)

    def take(self) -> str:
        """The next ID. SpoolError when the reserve is used up, which only a disk that fails for long can bring about."""
        if self.next >= self.limit:
            raise SpoolError("no queue ID can be given: the counter cannot be written")
        counter, self.next = self.next, self.next + 1
        return self.tag + _base36(counter)

    def counter(self, item: str) -> int | None:
        """The counter within an ID of this spool; None for an ID of another."""
        if len(item) != _TAG_LENGTH + _COUNTER_LENGTH or not item.startswith(self.tag):
            return None
        return int(item[_TAG_LENGTH:], 36)


def _base36(number: int) -> str:
    digits = []
    for _ in range(_COUNTER_LENGTH):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
