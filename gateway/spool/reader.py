"""The spool as it lies on disk, for commands that only look while no gateway runs. No lock is taken and nothing is written.

What the journal still holds is shown too: it is mail that we have, even where its pair was not made yet. What a start would
set aside is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.durable import Disk, read_file
from gateway.errors import NoSuchItem, SpoolError
from gateway.spool.ended import Ended
from gateway.spool.ids import Ids
from gateway.spool.journal_state import JournalState, read_journal
from gateway.spool.layout import Layout, checked_id, split_name
from gateway.spool.lock import is_locked
from gateway.spool.notes import find_files
from gateway.spool.pairs import Change, Place, content_octets
from gateway.spool.record import MAX_RECORD_OCTETS, Record, decode_record

_STATE_LIMIT = 64 * 1024 * 1024


def is_running(root: Path) -> bool:
    """True while a gateway has this spool."""
    return is_locked(Layout(root).lock)


def read_queue(root: Path) -> Iterator[Record]:
    """Every message that waits, in the order of IDs; what cannot be read is left out. Raises SpoolError without a spool."""
    yield from _read(root, "queue")


def read_removed(root: Path) -> Iterator[Record]:
    """Every message in removed/."""
    yield from _read(root, "removed")


def read_record(root: Path, id: str) -> Record:
    """One message, waiting or removed. Raises NoSuchItem, SpoolError."""
    layout, disk = Layout(root), Disk()
    change = _change(disk, layout, id)
    octets = change.record if change is not None else None
    for folder in (layout.queue, layout.removed):
        if octets is None:
            octets = _file(disk, f"{folder}/{id}.env")
    if octets is None:
        raise NoSuchItem(f"{id}: no such message")
    try:
        return decode_record(octets)
    except ValueError as exc:
        raise SpoolError(f"{id}: {exc}") from exc


def read_content(root: Path, id: str, limit: int) -> bytes:
    """The first `limit` octets of a message's content. Raises NoSuchItem, SpoolError."""
    layout, disk = Layout(root), Disk()
    change = _change(disk, layout, id)
    try:
        if change is not None and change.content is not None:
            return content_octets(disk, change.content)[:limit]
        for folder in (layout.queue, layout.removed, layout.incoming):
            try:
                descriptor = disk.open(f"{folder}/{id}.eml", os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            try:
                return disk.read(descriptor, limit, 0)
            finally:
                disk.close(descriptor)
    except OSError as exc:
        raise SpoolError(f"the content of {id} cannot be read: {exc.strerror}") from exc
    raise NoSuchItem(f"{id}: no such message")


def read_state(root: Path, name: str) -> bytes | None:
    """What another part saved under this name last; None where there is nothing to be read."""
    try:
        return read_file(Disk(), f"{Layout(root).state}/{os.path.basename(name)}", _STATE_LIMIT)
    except OSError:
        return None


def _change(disk: Disk, layout: Layout, item: str) -> Change | None:
    """What the journal says of one message; NoSuchItem where it says that it has ended or was set aside."""
    change = _journal(disk, layout).changes.get(checked_id(item))
    if change is not None and change.place in ("gone", "aside"):
        raise NoSuchItem(f"{item}: no such message")
    return change


def _journal(disk: Disk, layout: Layout) -> JournalState:
    try:
        files, _ = find_files(disk, layout.journal)
        return read_journal(disk, files)
    except FileNotFoundError:
        if os.path.isdir(layout.queue):
            return JournalState()
        raise SpoolError(f"there is no spool at {layout.root}") from None
    except OSError as exc:
        raise SpoolError(f"the spool {layout.root} cannot be read: {exc.strerror or exc}") from exc


def _read(root: Path, place: Place) -> Iterator[Record]:
    layout, disk = Layout(root), Disk()
    changes = _journal(disk, layout).changes
    folder = layout.queue if place == "queue" else layout.removed
    try:
        names = frozenset(os.listdir(folder))
    except OSError as exc:
        raise SpoolError(f"the spool {layout.root} cannot be read: {exc.strerror or exc}") from exc
    items = {split[0] for name in names if (split := split_name(name)) is not None and split[1:] == ("env", False)}
    ended = Ended.load(disk, layout.ended, Ids.load(disk, layout.ids))
    items = {item for item in items if item not in changes and f"{item}.eml" in names and not ended.has(item)}
    items |= {item for item, change in changes.items() if change.place == place}
    for item in sorted(items):
        change = changes.get(item)
        octets = (
            change.record if change is not None and change.record is not None else _file(disk, f"{folder}/{item}.env")
        )
        if octets is not None:
            try:
                yield decode_record(octets)
            except ValueError:
                continue


def _file(disk: Disk, path: str) -> bytes | None:
    try:
        return read_file(disk, path, MAX_RECORD_OCTETS)
    except OSError:
        return None
