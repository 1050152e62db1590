"""The journal of a running gateway: what was appended comes back in order, and files are used again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.spool.notes import PAGE, Kind, Note, find_files, scan
from gateway.spool.writeahead import FREE_FILES, WriteAhead
from tests.support.faultydisk import FaultyDisk

FILE = 64 * 1024


def notes_in(folder: Path) -> list[tuple[Kind, str, bytes, bytes]]:
    found = []
    for file in find_files(Disk(), str(folder))[0]:
        octets = Path(file.path).read_bytes()
        for note in scan(octets, file.nonce):
            end = note.stored.offset + note.stored.octets
            found.append((note.kind, note.id, *note.stored.unpack(octets[note.stored.offset : end])))
    return found


def test_notes_come_back_in_order_across_files(tmp_path: Path) -> None:
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    for n in range(20):
        log.append([Note(Kind.ACCEPTED, f"id{n}", b"{}", b"content %d" % n * 900), Note(Kind.ENDED, f"id{n}")], ())
    log.close()
    found = notes_in(tmp_path)
    assert [item for kind, item, _, _ in found if kind is Kind.ACCEPTED] == [f"id{n}" for n in range(20)]
    assert all(content == b"content %d" % n * 900 for n, (_, _, _, content) in enumerate(found[::2]))
    assert len(find_files(Disk(), str(tmp_path))[0]) > 1


def test_what_is_on_the_wire_is_said_again_in_a_new_file(tmp_path: Path) -> None:
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    log.append([Note(Kind.WIRE, "x")], ())
    number = log.turn(("x",))
    log.release(number)
    log.close()
    assert (Kind.WIRE, "x", b"", b"") in notes_in(tmp_path)


def test_a_released_file_says_nothing_any_more_once_the_next_is_begun(tmp_path: Path) -> None:
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    log.append([Note(Kind.ENDED, "old")], ())
    log.release(log.turn(()))
    log.turn(())
    log.append([Note(Kind.ENDED, "new")], ())
    log.close()
    assert [item for _, item, _, _ in notes_in(tmp_path)] == ["new"]


def test_files_are_used_again(tmp_path: Path) -> None:
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    for n in range(30):
        log.append([Note(Kind.ENDED, f"id{n}")], ())
        log.release(log.turn(()))
    log.close()
    assert len(list(tmp_path.iterdir())) <= 4


def test_no_group_touches_a_page_of_an_earlier_one(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = WriteAhead(disk, str(tmp_path), FILE)
    log.append([Note(Kind.ENDED, "a")], ())
    first = Path(find_files(Disk(), str(tmp_path))[0][0].path)
    before = first.read_bytes()[: 2 * PAGE]
    log.append([Note(Kind.ENDED, "b")], ())
    log.close()
    assert first.read_bytes()[: 2 * PAGE] == before


def test_a_torn_header_makes_a_free_file(tmp_path: Path) -> None:
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    log.append([Note(Kind.ENDED, "a")], ())
    log.close()
    (path,) = tmp_path.iterdir()
    octets = bytearray(path.read_bytes())
    octets[9] ^= 1
    path.write_bytes(bytes(octets))
    needed, free = find_files(Disk(), str(tmp_path))
    assert (len(needed), len(free)) == (0, 1)


def ended_later(log: WriteAhead, files: int) -> None:
    """A message that is accepted in the first file, and ends in the last but one of so many."""
    log.append([Note(Kind.ACCEPTED, "m", b"{}", b"x")], ())
    for n in range(files - 2):
        log.append([Note(Kind.ACCEPTED, f"f{n}", b"{}", b"\0" * 50_000)], ())
        log.append([Note(Kind.RECORD, "m", b"{}")], ())
    log.append([Note(Kind.ENDED, "m"), Note(Kind.ACCEPTED, "g", b"{}", b"\0" * 50_000)], ())
    log.append([Note(Kind.ACCEPTED, "h", b"{}", b"\0" * 50_000)], ())
    assert log.number == log.needed == files


def test_what_a_rush_made_beyond_is_kept_until_no_header_names_it(tmp_path: Path) -> None:
    """Else the newer of the files would be gone and the older still count: what has ended would come back (P4)."""
    log = WriteAhead(Disk(), str(tmp_path), FILE)
    ended_later(log, FREE_FILES + 3)
    log.release(log.number)
    assert [kind for kind, item, _, _ in notes_in(tmp_path) if item == "m"][-1] is Kind.ENDED
    log.release(log.turn(()))
    assert len(list(tmp_path.iterdir())) == FREE_FILES + 1
    assert "m" not in [item for _, item, _, _ in notes_in(tmp_path)]
    log.close()


class TornDisk(Disk):
    """Goes off in the first flush of a group, and has lost the first page of each write that was not flushed before."""

    def __init__(self) -> None:
        self.unflushed: list[tuple[int, bytes, int]] = []
        self.tears = False

    def write(self, descriptor: int, octets: bytes | bytearray | memoryview, offset: int) -> None:
        readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        self.unflushed.append((descriptor, os.pread(readable, PAGE, offset), offset))
        os.close(readable)
        super().write(descriptor, octets, offset)

    def fdatasync(self, descriptor: int) -> None:
        if self.tears and self.unflushed[-1][2] > 0:
            for written_to, before, offset in self.unflushed:
                os.pwrite(written_to, before, offset)
        self.unflushed.clear()


def test_what_ended_does_not_come_back_when_its_file_is_used_again_and_the_disk_keeps_half_of_it(
    tmp_path: Path,
) -> None:
    disk = TornDisk()
    log = WriteAhead(disk, str(tmp_path), FILE)
    log.append([Note(Kind.ACCEPTED, "m", b"{}", b"x")], ())
    log.append([Note(Kind.ENDED, "m")], ())
    log.append([Note(Kind.ACCEPTED, "f", b"{}", b"\0" * 55_000)], ())
    log.release(log.number)
    disk.tears = True
    log.append([Note(Kind.ACCEPTED, "g", b"{}", b"\0" * 40_000)], ())
    log.close()
    assert [kind for kind, item, _, _ in notes_in(tmp_path) if item == "m"] in ([], [Kind.ACCEPTED, Kind.ENDED])


def test_a_file_whose_flush_failed_is_not_used_again(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = WriteAhead(disk, str(tmp_path), FILE)
    disk.fail("fdatasync", times=1)
    with pytest.raises(OSError, match="Input/output"):
        log.append([Note(Kind.ENDED, "a")], ())
    (failed,) = [file.path for file in log.needed_files]
    for _ in range(4):
        log.release(log.turn(()))
    assert f"unlink {failed}" in disk.calls
    log.close()


def test_beside_others_no_new_file_is_begun(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = WriteAhead(disk, str(tmp_path), FILE)
    assert not log.has_room(1)
    log.append([Note(Kind.ENDED, "a")], ())
    assert log.has_room(FILE - 3 * PAGE)
    assert not log.has_room(FILE - 3 * PAGE + 1)
    disk.fail("fdatasync", times=1)
    with pytest.raises(OSError, match="Input/output"):
        log.append([Note(Kind.ENDED, "b")], (), 1, is_alone=False)
    with pytest.raises(OSError, match="Input/output"):
        log.append([Note(Kind.ENDED, "c")], (), 2, is_alone=False)
    assert (log.number, log.placed) == (1, 3)
    assert log.append([Note(Kind.ENDED, "d")], ()) == 2
    log.close()


def test_without_a_descriptor_for_another_lane_its_group_alone_fails(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = WriteAhead(disk, str(tmp_path), FILE)
    log.append([Note(Kind.ENDED, "a")], ())
    disk.fail("open", error=errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        log.append([Note(Kind.ENDED, "b")], (), 1)
    assert log.append([Note(Kind.ENDED, "c")], ()) == 1
    log.close()
    assert [item for _, item, _, _ in notes_in(tmp_path)] == ["a", "c"]
