from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.desk import part_fields as module
from gateway.desk.part_fields import LONGEST, MOST, part_fields


class Octets:
    """Content as the spool gives it."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.size = octets, len(octets)

    async def read(self, offset: int, length: int) -> bytes:
        return self.octets[offset : offset + length]


def fields(octets: bytes) -> list[str]:
    content: Any = Octets(octets)
    return asyncio.run(part_fields(content))


FIELD = b'Content-Disposition: attachment;\r\n\tfilename="Plan.dwg"'


def test_fields_that_name_a_file_are_found_folded_as_they_are() -> None:
    octets = b"Subject: x\r\n\r\n--b\r\n" + FIELD + b"\r\nContent-Type: text/plain\r\n\r\nabc\r\n"
    assert fields(octets) == [FIELD.decode() + "\r"]
    assert fields(b"content-type: x/y; NAME=z\n") == ["content-type: x/y; NAME=z"]


def test_a_field_at_the_edge_of_a_block_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4096)
    for before in range(4096 - LONGEST - 80, 4096 + 4, 7):
        octets = b"x" * before + b"\n" + FIELD + b"\n" + b"y" * 5000
        assert fields(octets) == [FIELD.decode()], before


def test_what_is_looked_at_is_bounded() -> None:
    assert len(fields((b"\n" + FIELD) * (MOST + 50))) == MOST
    assert [len(field) for field in fields(b"Content-Type: a;\n name=" + b"x" * 9000)] == [LONGEST]
