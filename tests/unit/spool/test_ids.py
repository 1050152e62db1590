"""Queue IDs are never given twice, whatever happens to the file that counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.errors import SpoolError
from gateway.spool.ids import Ids
from gateway.spool.layout import is_id


def started(path: Path, block: int = 100) -> Ids:
    ids = Ids.load(Disk(), str(path))
    limit = ids.next + block
    ids.reserve(Disk(), str(path), limit)
    ids.extend(limit)
    return ids


def test_ids_are_eleven_letters_and_digits(tmp_path: Path) -> None:
    item = started(tmp_path / "ids").take()
    assert len(item) == 11
    assert is_id(item)


def test_no_id_is_given_again_after_a_crash(tmp_path: Path) -> None:
    before = started(tmp_path / "ids")
    given = {before.take() for _ in range(100)}
    after = started(tmp_path / "ids")
    assert after.tag == before.tag
    assert not given & {after.take() for _ in range(100)}


def test_beyond_the_reserve_no_id_is_given(tmp_path: Path) -> None:
    ids = started(tmp_path / "ids", block=1)
    ids.take()
    with pytest.raises(SpoolError):
        ids.take()


@pytest.mark.parametrize(
    "content", [b"", b"abcd", b"abcd 12", b"ABCD 12\n", b"abcd -1\n", b"\0" * 12, b"abcd 99999999999\n"]
)
def test_a_damaged_counter_makes_a_new_tag(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ids").write_bytes(content)
    ids = started(tmp_path / "ids")
    assert ids.next == 0
    assert is_id(ids.take())


def test_the_counter_is_found_in_own_ids_only(tmp_path: Path) -> None:
    ids = started(tmp_path / "ids")
    ids.take()
    assert ids.counter(ids.take()) == 1
    assert ids.counter("zzzzzzzzzzz" if ids.tag != "zzzz" else "yyyyyyyyyyy") is None
    assert ids.counter("short") is None
