"""The journal of a running gateway: what was appended comes back in order, and files are used again."""

from __future__ import annotations

from pathlib import Path

from gateway.durable import Disk
from gateway.spool.notes import PAGE, Kind, Note, find_files, scan
from gateway.spool.writeahead import WriteAhead
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
