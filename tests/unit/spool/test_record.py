"""Records on disk: JSON a person can read, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.spool.record import DoubtRecord, RecipientRecord, Record, RemovalRecord, decode_record, encode_record

FULL = Record(
    id="a1b20000001",
    created=1_780_000_000.123456,
    reverse_path="jiří@branch.test",
    recipients=[
        RecipientRecord(address="b@dest.test", standing="delivered", reply="250 2.0.0 ok", at=1_780_000_001.5),
        RecipientRecord(address="c@dest.test", notify="NEVER", orcpt="rfc822;c@dest.test"),
    ],
    size=10,
    sha256="0" * 64,
    smtputf8=True,
    due=1_780_000_100.0,
    last_try=1_779_999_999.999999,
    doubt=DoubtRecord(at=1_780_000_002.0, count=2, reason="line"),
    removal=RemovalRecord(at=1_780_000_003.0, by="operator", batch=3),
)


def test_a_record_comes_back_as_it_was() -> None:
    assert decode_record(encode_record(FULL)) == FULL


def test_instants_are_text_in_utc() -> None:
    fields = json.loads(encode_record(FULL))
    assert fields["created"] == "2026-05-28T20:26:40.123456Z"
    assert fields["recipients"][0]["at"] == "2026-05-28T20:26:41.500000Z"
    assert fields["removal"]["at"] == "2026-05-28T20:26:43.000000Z"


def test_what_is_as_always_is_not_written() -> None:
    plain = Record(id="x", created=0.0, reverse_path="", recipients=[RecipientRecord(address="b@c")], size=1, sha256="")
    assert set(json.loads(encode_record(plain))) == {"id", "created", "reverse_path", "recipients", "size", "sha256"}


def test_a_field_of_a_newer_version_is_refused() -> None:
    fields = json.loads(encode_record(FULL)) | {"colour": "blue"}
    with pytest.raises(ValueError, match="colour"):
        decode_record(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "octets", [b"", b"\0" * 300, b"{", b"[]", b"{}", b'"text"', b'{"recipients": [3]}', b"\xff\xfe"]
)
def test_hollow_torn_and_foreign_files_are_no_records(octets: bytes) -> None:
    with pytest.raises(ValueError):
        decode_record(octets)


@settings(deadline=None)
@given(
    st.binary(max_size=400)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_octets_are_a_record_or_a_value_error(octets: bytes) -> None:
    with pytest.raises(ValueError):
        decode_record(octets)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=3), st.integers(0, 700))
def test_a_damaged_record_is_a_record_or_a_value_error(octets: bytes, at: int) -> None:
    whole = bytearray(encode_record(FULL))
    whole[at : at + len(octets)] = octets
    try:
        decode_record(bytes(whole))
    except ValueError:
        return
