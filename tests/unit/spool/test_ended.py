"""The list of ended IDs: nothing that it says is forgotten, and what a cut tore says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.spool.ended import Ended, EndedLog
from gateway.spool.ids import Ids


@pytest.fixture
def ids() -> Ids:
    made = Ids("a1b2", 0)
    made.extend(100_000)
    return made


def log_of(path: Path, ids: Ids) -> EndedLog:
    return EndedLog(Disk(), str(path), ids, Ended.load(Disk(), str(path), ids))


def test_what_was_added_is_found_and_nothing_else(tmp_path: Path, ids: Ids) -> None:
    given = [ids.take() for _ in range(600)]
    log_of(tmp_path / "ended", ids).append(given[::2])
    ended = Ended.load(Disk(), str(tmp_path / "ended"), ids)
    assert [item for item in given if ended.has(item)] == given[::2]


def test_a_rewrite_says_that_all_below_have_ended_but_the_living(tmp_path: Path, ids: Ids) -> None:
    given = [ids.take() for _ in range(50)]
    log = log_of(tmp_path / "ended", ids)
    log.append(given[:10])
    log.rewrite(given[10:20], live=given[20:25], below=ids.next)
    later = ids.take()
    ended = Ended.load(Disk(), str(tmp_path / "ended"), ids)
    assert [item for item in given if not ended.has(item)] == given[20:25]
    assert not ended.has(later)


def test_ids_of_other_spools_are_remembered_one_by_one(tmp_path: Path, ids: Ids) -> None:
    log = log_of(tmp_path / "ended", ids)
    log.append(["zz990000001", "mail1"])
    log.rewrite([], live=[], below=0)
    ended = Ended.load(Disk(), str(tmp_path / "ended"), ids)
    assert ended.has("zz990000001")
    assert ended.has("mail1")
    assert not ended.has("zz990000002")


def test_a_torn_tail_is_left_out_and_the_next_call_writes_the_file_anew(tmp_path: Path, ids: Ids) -> None:
    path = tmp_path / "ended"
    given = [ids.take() for _ in range(20)]
    log_of(path, ids).append(given[:10])
    whole = path.read_bytes()
    log_of(path, ids).append(given[10:])
    for cut in range(len(whole) + 1, path.stat().st_size):
        torn = path.read_bytes()[:cut]
        (tmp_path / "torn").write_bytes(torn)
        ended = Ended.load(Disk(), str(tmp_path / "torn"), ids)
        assert not ended.is_whole
        assert all(ended.has(item) for item in given[:10])
    assert log_of(tmp_path / "torn", ids).wants_rewrite(live=10)


def test_the_file_is_rewritten_when_it_outgrows_the_queue(tmp_path: Path, ids: Ids) -> None:
    log = log_of(tmp_path / "ended", ids)
    assert not log.wants_rewrite(live=0)
    log.append([ids.take() for _ in range(5000)])
    assert log.wants_rewrite(live=100)
    assert not log.wants_rewrite(live=5000)
