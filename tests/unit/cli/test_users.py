"""What a password may be, and what each part of `tidegate user` makes of the file."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.users import MAX_PASSWORD, BadEntry, checked_password, first_line
from gateway.mail.password import read_hash
from gateway.reception.users import load_users
from tests.support.users import cheap_hash


class Standard:
    """A standard input that is no terminal."""

    def __init__(self, octets: bytes) -> None:
        self.buffer = io.BytesIO(octets)

    def isatty(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.users.make_hash", cheap_hash)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text("spool: spool\naccept: {users: users.yaml}\n")
    return path


def run(monkeypatch: pytest.MonkeyPatch, config: Path, *words: str, typed: bytes = b"") -> int:
    monkeypatch.setattr(sys, "stdin", Standard(typed))
    return main(["user", *words, "-c", str(config)])


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "empty"),
        (b"x" * (MAX_PASSWORD + 1), "200 octets"),
        (b"\xff\xfe", "UTF-8"),
        (b"a\0b", "control"),
        (b"a\tb", "control"),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_not_repeated(octets: bytes, why: str) -> None:
    with pytest.raises(BadEntry, match=why) as caught:
        checked_password(octets)
    assert caught.value.exit_code == 65
    assert repr(octets)[2:-1] not in str(caught.value) or not octets


def test_only_the_first_line_is_the_password() -> None:
    assert first_line(io.BytesIO(b"secret word\r\nnext\n")) == b"secret word"
    assert first_line(io.BytesIO(b"without end")) == b"without end"
    long = io.BytesIO(b"y" * 10_000_000)
    assert len(first_line(long)) == MAX_PASSWORD + 3
    assert long.tell() == MAX_PASSWORD + 3


def test_a_user_is_added_listed_changed_and_removed(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.parent / "users.yaml"
    assert run(monkeypatch, config, "add", "anna", "--address", "*@branch.example", typed=b"Gr\xc3\xbc\xc3\x9fe\n") == 0
    assert capsys.readouterr().out.startswith("anna added; the gateway is not running")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    user = load_users(file)["anna"]
    assert user.addresses == ("*@branch.example",)
    assert read_hash(user.password).matches("Grüße".encode())
    assert "Grüße" not in file.read_text()

    assert run(monkeypatch, config, "add", "bert@branch.example", typed=b"pw") == 0
    assert run(monkeypatch, config, "password", "anna", typed=b"other\n") == 0
    changed = load_users(file)["anna"]
    assert changed.addresses == ("*@branch.example",)
    assert read_hash(changed.password).matches(b"other")
    capsys.readouterr()
    assert run(monkeypatch, config, "list") == 0
    assert capsys.readouterr().out == "anna  *@branch.example\nbert@branch.example\n"

    assert run(monkeypatch, config, "remove", "anna") == 0
    assert list(load_users(file)) == ["bert@branch.example"]
    assert sorted(os.listdir(config.parent)) == ["gateway.yaml", "users.yaml"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("remove", "nobody"), 66, "no user nobody"),
        (("password", "nobody"), 66, "no user nobody"),
        (("add",), 64, "whose"),
        (("add", "a b"), 64, "not a name"),
        (("add", "-x"), 64, ""),
        (("add", "anna", "--address", "branch.example"), 64, "address"),
        (("add", "empty"), 65, "empty"),
        ((), 64, "add, remove, list or password"),
        (("list", "anna"), 64, "unrecognized"),
    ],
)
def test_what_cannot_be_done_ends_with_its_exit_code_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    why: str,
) -> None:
    assert run(monkeypatch, config, *words) == code
    assert why in capsys.readouterr().err
    assert not (config.parent / "users.yaml").exists()


def test_a_second_user_of_the_same_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, config, "add", "anna", typed=b"one") == 0
    before = (config.parent / "users.yaml").read_text()
    assert run(monkeypatch, config, "add", "anna", typed=b"two") == 65
    assert "user password anna" in capsys.readouterr().err
    assert (config.parent / "users.yaml").read_text() == before


def test_without_accept_users_the_command_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("mode: auto\n")
    assert run(monkeypatch, config, "list") == 78
    assert "accept: {users: users.yaml}" in capsys.readouterr().err


def test_a_damaged_file_is_told_and_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.parent / "users.yaml"
    file.write_text("anna: {password: plain}\n")
    file.chmod(0o600)
    assert run(monkeypatch, config, "add", "bert", typed=b"pw") == 78
    assert "not a password hash" in capsys.readouterr().err
    assert file.read_text() == "anna: {password: plain}\n"


def test_on_a_terminal_the_password_is_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["one", "other"])
    terminal = Standard(b"")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("gateway.cli.users.getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["user", "add", "anna", "-c", str(config)]) == 65
    assert "differ" in capsys.readouterr().err
    answers = iter(["same", "same"])
    assert main(["user", "add", "anna", "-c", str(config)]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_writes_belongs_to_the_owner_of_the_spool(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    (config.parent / "spool").mkdir()
    os.chown(config.parent / "spool", 4711, 4712)
    assert run(monkeypatch, config, "add", "anna", typed=b"pw") == 0
    found = (config.parent / "users.yaml").stat()
    assert (found.st_uid, found.st_gid) == (4711, 4712)
