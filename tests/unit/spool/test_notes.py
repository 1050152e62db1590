"""The octets of a journal file: whole notes come back, and nothing else is taken for a note."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.spool.notes import MOST_PACKED, PACKED_NOTES, PAGE, Kind, Note, pack_group, scan

NONCE = b"8 octets"


def test_a_group_is_packed_only_where_that_saves_a_page() -> None:
    fits, packs = Note(Kind.ACCEPTED, "a", b"{}", b"x" * 3000), Note(Kind.ACCEPTED, "a", b"{}", b"x" * 5000)
    stubborn = Note(Kind.ACCEPTED, "a", b"{}", bytes(n * n * 7919 % 251 for n in range(5000)))
    large = Note(Kind.ACCEPTED, "a", b"{}", b"x" * (MOST_PACKED + 1))
    for note, pages, is_packed in ((fits, 1, False), (packs, 1, True), (large, 9, False)):
        group = pack_group([note], NONCE)
        (found,) = scan(bytes(PAGE) + group, NONCE)
        assert (len(group) // PAGE, found.stored.is_packed) == (pages, is_packed)
    assert len(pack_group([stubborn], NONCE)) <= 2 * PAGE


def test_of_a_large_group_the_first_notes_are_packed_and_each_is_found_again() -> None:
    content = {f"id{n}": bytes([n]) * 4000 if n % 4 else Random(n).randbytes(4000) for n in range(PACKED_NOTES + 10)}
    group = pack_group([Note(Kind.ACCEPTED, item, b"{}", octets) for item, octets in content.items()], NONCE)
    found = list(scan(bytes(PAGE) + group, NONCE))
    assert [note.id for note in found] == list(content)
    whole = bytes(PAGE) + group
    for number, note in enumerate(found):
        octets = whole[note.stored.offset : note.stored.offset + note.stored.octets]
        assert note.stored.unpack(octets) == (b"{}", content[note.id])
        assert note.stored.is_packed == (number < PACKED_NOTES and number % 4 != 0)


def test_not_more_of_a_group_is_packed_than_one_waits_for() -> None:
    notes = [Note(Kind.ACCEPTED, f"id{n}", b"{}", b"x" * 30_000) for n in range(6)]
    group = pack_group(notes, NONCE)
    assert [found.stored.is_packed for found in scan(bytes(PAGE) + group, NONCE)] == [True] * 3 + [False] * 3


def test_content_that_looks_like_a_note_is_content() -> None:
    inner = pack_group([Note(Kind.ENDED, "victim")], NONCE)
    page = bytes(PAGE)
    outer = page + pack_group([Note(Kind.ACCEPTED, "real", b"{}", inner[: PAGE // 2])] * 5, NONCE)
    assert {note.id for note in scan(outer, NONCE)} == {"real"}


@settings(max_examples=60, deadline=None)  # a busy machine is no fault
@given(st.data())
def test_a_torn_group_gives_its_whole_notes_and_nothing_else(data: st.DataObject) -> None:
    notes = [
        Note(Kind.ACCEPTED, f"id{n}", b"r" * n, Random(n).randbytes(n * 700) if n % 2 else b"x" * (n * 700))
        for n in range(1, 6)
    ]
    whole = bytearray(bytes(PAGE) + pack_group(notes, NONCE))
    for sector in range(PAGE // 512, len(whole) // 512):
        if data.draw(st.booleans()):
            whole[sector * 512 : (sector + 1) * 512] = data.draw(
                st.sampled_from([bytes(512), b"\xa5" * 512, NONCE * 64])
            )
    told = {note.id: note for note in notes}
    for found in scan(bytes(whole), NONCE):
        end = found.stored.offset + found.stored.octets
        record, content = found.stored.unpack(bytes(whole[found.stored.offset : end]))
        assert (record, content) == (told[found.id].record, told[found.id].content)


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_octets_are_scanned_to_their_end(octets: bytes) -> None:
    assert list(scan(bytes(PAGE) + octets + NONCE + octets, NONCE)) == []
