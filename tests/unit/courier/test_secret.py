import os
from pathlib import Path

import pytest

from gateway.config.settings import PasswordSource
from gateway.courier.secret import NoPassword, read_password


def kept(path: Path, octets: bytes, mode: int = 0o600) -> PasswordSource:
    path.write_bytes(octets)
    path.chmod(mode)
    return PasswordSource(file=path)


@pytest.mark.parametrize("octets", [b"s3cret", b"s3cret\n", b"s3cret\r\n", b"s3cret\nsecond line\n"])
def test_the_first_line_is_the_password(tmp_path: Path, octets: bytes) -> None:
    assert read_password(kept(tmp_path / "p", octets), None) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o610])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(NoPassword, match="must be 0600"):
        read_password(kept(tmp_path / "p", b"s3cret", mode), None)


@pytest.mark.parametrize("octets", [b"", b"\n", b"\xff\xfe", b"a\0b", b"x" * 5000])
def test_what_is_no_password_is_refused_without_showing_it(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(NoPassword) as refused:
        read_password(kept(tmp_path / "p", octets), None)

    assert "xxxx" not in str(refused.value)


def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    for name in ("pipe", "missing", "."):
        with pytest.raises(NoPassword):
            read_password(PasswordSource(file=tmp_path / name), None)


def test_a_credential_is_read_from_the_folder_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("s3cret")

    assert read_password(PasswordSource(credential="relay"), tmp_path) == "s3cret"


@pytest.mark.parametrize("name", ["../relay", "", ".", "..", "a/b"])
def test_a_credential_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoPassword):
        read_password(PasswordSource(credential=name), tmp_path)


def test_a_credential_without_systemd_is_said_so() -> None:
    with pytest.raises(NoPassword, match="gave us no credentials"):
        read_password(PasswordSource(credential="relay"), None)
