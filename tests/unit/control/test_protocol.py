"""JSON lines: what a request is, and the exact shapes of answers (DESIGN 10)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.protocol import End, Refusal, decode_request, encode
from gateway.control.rows import CheckRow, Explanation, NextTryRow, QueueRow


def test_a_request_is_an_operation_and_its_arguments() -> None:
    assert decode_request(b'{"op": "queue", "filter": "older:4h"}\n') == ("queue", {"filter": "older:4h"})


@pytest.mark.parametrize(
    "line", [b"\n", b"queue\n", b"[]\n", b"{}\n", b'{"op": 1}\n', b'{"op": null}\n', b'{"op": "a"', b"\xff\xfe\n"]
)
def test_anything_else_is_refused_with_a_sentence(line: bytes) -> None:
    with pytest.raises(ValueError, match="a request"):
        decode_request(line)


@given(st.binary(max_size=200))
def test_any_octets_end_in_a_request_or_in_a_refusal(line: bytes) -> None:
    try:
        operation, arguments = decode_request(line)
    except ValueError:
        return
    assert isinstance(operation, str)
    assert "op" not in arguments


def test_an_answer_ends_with_end_or_with_an_error_and_its_exit_code() -> None:
    assert encode(End()) == b'{"end":true}\n'
    assert json.loads(encode(Refusal("nothing can leave now", 75))) == {"error": "nothing can leave now", "exit": 75}


def test_no_text_of_a_stranger_makes_a_second_line() -> None:
    line = encode(Refusal('a\r\nb\u2028c\u0085d\0"', 65))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["error"] == 'a\r\nb\u2028c\u0085d\0"'


def test_a_row_of_the_queue_has_the_fields_of_the_contract_in_order_and_nulls_for_unused_ones() -> None:
    row = QueueRow(
        id="8k2f41c07a10",
        created="2026-03-01T07:00:00+01:00",
        next_try=NextTryRow(kind="window", at="2026-03-01T22:00:00+01:00", window="Night"),
        size=2048,
        sender="anna@brno.example.net",
        to=["ops@hq.example"],
        status="waits for Night",
        state="waiting",
        message_class="bulk",
        attempts=0,
    )
    shown = json.loads(encode(row))
    fields = ["id", "created", "next_try", "size", "from", "to", "status", "state", "class", "attempts"]
    assert list(shown) == fields
    assert shown["next_try"] == {"kind": "window", "at": "2026-03-01T22:00:00+01:00", "window": "Night"}
    assert json.loads(encode(NextTryRow(kind="asap"))) == {"kind": "asap", "at": None, "window": None}


def test_an_explanation_has_the_fields_of_the_contract() -> None:
    shown = json.loads(
        encode(
            Explanation(
                id="a",
                verdict="It waits.",
                next_try=NextTryRow(kind="never"),
                checks=[CheckRow(name="mode", state="stop", text="stopped", file="gateway.yaml", line=4)],
            )
        )
    )
    assert list(shown) == ["id", "verdict", "next_try", "checks"]
    assert shown["checks"] == [{"name": "mode", "state": "stop", "text": "stopped", "file": "gateway.yaml", "line": 4}]
