"""The few calls by which anything becomes durable, and the disk of the tests that fails on demand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.durable import Disk, flush_file, read_file, remove_file, replace_file
from tests.support.faultydisk import FaultyDisk


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, octets, offset: whole(descriptor, bytes(octets[:3]), offset))
    disk = Disk()
    descriptor = disk.open(str(tmp_path / "x"), os.O_WRONLY | os.O_CREAT)
    disk.write(descriptor, b"0123456789", 2)
    disk.close(descriptor)
    assert (tmp_path / "x").read_bytes() == b"\0\x000123456789"


def test_a_short_read_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: whole(descriptor, min(count, 3), offset))
    (tmp_path / "x").write_bytes(b"0123456789")
    assert read_file(Disk(), str(tmp_path / "x"), 100) == b"0123456789"


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "link").symlink_to(tmp_path / "large")
    os.mkfifo(tmp_path / "pipe")
    for name, error in (("large", errno.EFBIG), ("link", errno.ELOOP), ("pipe", errno.EINVAL), (".", errno.EINVAL)):
        with pytest.raises(OSError) as caught:
            read_file(Disk(), f"{tmp_path}/{name}", 10)
        assert caught.value.errno == error


def test_a_file_is_replaced_in_one_step_over_what_a_cut_left(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    (tmp_path / "x.new").write_bytes(b"half a fil")
    replace_file(Disk(), str(path), b"new", durable=True)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, call: str) -> None:
    path, disk = tmp_path / "x", FaultyDisk()
    path.write_bytes(b"old")
    disk.fail(call, error=errno.ENOSPC)
    with pytest.raises(OSError):
        replace_file(disk, str(path), b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_what_is_not_there_needs_neither_a_flush_nor_an_unlink(tmp_path: Path) -> None:
    flush_file(Disk(), str(tmp_path / "nothing"))
    assert remove_file(Disk(), str(tmp_path / "nothing")) is None
    assert remove_file(Disk(), str(tmp_path)) is not None


def test_a_file_system_that_the_kernel_does_not_flush_as_a_whole_is_known() -> None:
    assert not Disk().saves_all("/proc")


def test_all_is_flushed_at_once(tmp_path: Path) -> None:
    Disk().sync_all(str(tmp_path))
    Disk().fsync_dir(str(tmp_path))


def test_the_failing_disk_fails_where_it_was_told_so_often_and_goes_off_for_good(tmp_path: Path) -> None:
    disk = FaultyDisk()
    fault = disk.fail("unlink", error=errno.EROFS, path="b$", times=1)
    for name in "aab":
        (tmp_path / name).touch()
    disk.unlink(str(tmp_path / "a"))
    with pytest.raises(OSError) as caught:
        disk.unlink(str(tmp_path / "b"))
    assert caught.value.errno == errno.EROFS
    assert fault.hits == 1
    disk.unlink(str(tmp_path / "b"))
    disk.stop_after = disk.done + 1
    disk.mkdir(str(tmp_path / "c"))
    assert disk.is_off
    for call in (lambda: disk.mkdir(str(tmp_path / "d")), lambda: read_file(disk, str(tmp_path / "c"), 1)):
        with pytest.raises(OSError):
            call()
