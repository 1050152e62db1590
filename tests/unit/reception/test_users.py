"""The file of users, and the check of passwords."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.mail import password as module
from gateway.mail.password import make_hash, read_hash
from gateway.reception.auth import Failures
from gateway.reception.policy import client_address
from gateway.reception.users import TooBusy, User, UserRegister, load_users, save_users
from tests.support.clock import FakeClock
from tests.support.users import cheap_hash, write_users


def test_what_is_saved_is_loaded_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    users = {
        "scanner": User("scanner", cheap_hash("a"), ("scan@x.example", '"odd \\ one"@x.example', "*@y.example")),
        "no": User("no", cheap_hash("b")),
        "017": User("017", cheap_hash("c")),
    }
    save_users(path, users)
    assert load_users(path) == users
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["users.yaml"]


def test_a_fresh_hash_is_that_of_its_password_and_of_no_other() -> None:
    stored = read_hash(make_hash("Žluťoučký"))
    assert stored.matches("Žluťoučký".encode())
    assert not stored.matches(b"other")
    assert make_hash("x") != make_hash("x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scanner: secret-word\n", "has no password"),
        ("scanner:\n  password: secret-word\n", "not a password hash"),
        ("scanner:\n  password: scrypt 30 8 1 AAAAAAAAAAA= AAAAAAAAAAAAAAAAAAAAAA==\n", "out of bounds"),
        ("scanner:\n  addresses: a@b.c\n", "has no password"),
        ("- scanner\n", "a block for each name"),
        ('"a b":\n  password: x\n', "is not a name"),
        ("../x:\n  password: x\n", "is not a name"),
    ],
)
def test_a_mistake_in_the_file_is_told_at_its_line_and_never_with_the_secret(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "users.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        load_users(path)
    assert says in str(caught.value)
    assert f"{path}:" in str(caught.value)
    assert "not a password hash" not in says or "error: not a password hash" in str(caught.value)


def test_a_name_written_twice_is_a_mistake(tmp_path: Path) -> None:
    path = write_users(tmp_path / "users.yaml", {"a": "x"})
    path.write_text(path.read_text() * 2)
    with pytest.raises(ConfigurationError, match="written twice"):
        load_users(path)


def test_a_file_that_others_may_read_is_a_mistake(tmp_path: Path) -> None:
    path = write_users(tmp_path / "users.yaml", {"a": "x"})
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        load_users(path)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads are hashing at each hash; its length is the number of hashes."""
    counted: list[int] = []
    running = [0]
    real: Callable[..., bytes] = module._scrypt

    def counting(*arguments: object) -> bytes:
        running[0] += 1
        counted.append(running[0])
        try:
            return real(*arguments)
        finally:
            running[0] -= 1

    monkeypatch.setattr(module, "_scrypt", counting)
    return counted


def test_a_right_password_is_hashed_once_and_a_wrong_one_every_time(tmp_path: Path, hashes: list[int]) -> None:
    async def body() -> None:
        clock = FakeClock()
        path = write_users(tmp_path / "users.yaml", {"a": "right"})
        register = UserRegister(path, clock.monotonic)
        for _ in range(3):
            assert await register.verify("a", b"right") is not None
        assert len(hashes) == 1
        for _ in range(2):
            assert await register.verify("a", b"wrong") is None
        assert len(hashes) == 3
        clock.advance(3601)
        assert await register.verify("a", b"right") is not None
        assert len(hashes) == 4
        write_users(path, {"a": "changed"})
        register.refresh()
        assert await register.verify("a", b"right") is None
        register.close()

    asyncio.run(body())


def test_an_unknown_name_costs_a_hash_like_a_wrong_password(tmp_path: Path, hashes: list[int]) -> None:
    async def body() -> None:
        register = UserRegister(write_users(tmp_path / "users.yaml", {"a": "right"}), FakeClock().monotonic)
        assert await register.verify("nobody", b"x") is None
        assert len(hashes) == 1
        register.close()

    asyncio.run(body())


def test_one_hash_is_computed_at_a_time_and_a_crowd_is_told_to_come_again(tmp_path: Path, hashes: list[int]) -> None:
    async def body() -> None:
        register = UserRegister(write_users(tmp_path / "users.yaml", {"a": "right"}), FakeClock().monotonic)
        tries = [register.verify("a", b"wrong%d" % n) for n in range(60)]
        ends = await asyncio.gather(*tries, return_exceptions=True)
        assert max(hashes) == 1
        assert sum(isinstance(end, TooBusy) for end in ends) == 40
        register.close()

    asyncio.run(body())


def test_a_file_that_vanished_lets_nobody_in_until_it_is_back(tmp_path: Path) -> None:
    async def body() -> None:
        path = write_users(tmp_path / "users.yaml", {"a": "right"})
        register = UserRegister(path, FakeClock().monotonic)
        os.rename(path, tmp_path / "away")
        with pytest.raises(ConfigurationError):
            register.refresh()
        assert await register.verify("a", b"right") is None
        os.rename(tmp_path / "away", path)
        register.refresh()
        assert await register.verify("a", b"right") is not None
        register.close()

    asyncio.run(body())


def test_twenty_wrong_passwords_block_an_address_and_its_whole_ipv6_network_for_a_while() -> None:
    failures = Failures()
    first, sibling, other = (client_address((text, 1)) for text in ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"))
    for _ in range(19):
        failures.count(first, 0.0, 600.0)
    assert not failures.is_blocked(first, 1.0)
    failures.count(sibling, 1.0, 600.0)
    assert failures.is_blocked(first, 2.0)
    assert failures.is_blocked(sibling, 2.0)
    assert not failures.is_blocked(other, 2.0)
    assert not failures.is_blocked(first, 602.0)


def test_counts_of_wrong_passwords_are_bounded() -> None:
    failures = Failures()
    for n in range(12_000):
        failures.count(client_address((f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1)), 0.0, 600.0)
    assert len(failures._counts) <= 10_000
