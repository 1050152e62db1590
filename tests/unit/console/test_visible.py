"""What strangers wrote, as the eye and a spreadsheet get it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.console.visible import LONGEST, cell, decoded, fields, file_names, visible


def test_w03_invisible_and_reversing_characters_are_shown_as_what_they_are() -> None:
    assert visible("a\u202eb\u200bc\x00d\ud800e\x1b[31m") == "a\\u202eb\\u200bc\\u0000d\\ud800e\\u001b[31m"
    assert visible("Grüße 日本") == "Grüße 日本"


def test_w03_what_is_long_is_cut() -> None:
    assert visible("x" * 10**6) == "x" * LONGEST + "…"


def test_w03_encoded_words_are_read_and_broken_ones_left() -> None:
    assert decoded("=?utf-8?q?Objedn=C3=A1vka?= 12") == "Objednávka 12"
    assert decoded("=?iso-8859-1?q?a?= =?utf-8?b?w6k=?=") == "aé"
    assert decoded("=?nosuch?q?abc?=") == "abc"
    assert decoded("=?utf-8?b?***?=") is not None


def test_folded_fields_are_joined_and_their_number_is_bounded() -> None:
    header = "Subject: one\r\n two\r\nX-Long: " + "y" * 99999 + "\r\nno field\r\n" + "A: b\r\n" * 500
    found = fields(header)
    assert found[0] == ("Subject", "one two")
    assert len(found) == 200
    assert all(len(value) <= LONGEST + 1 for _, value in found)


def test_w05_cells_that_would_be_formulas_are_text() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert cell(text).startswith("'")
    assert cell("anna@branch.example") == "anna@branch.example"


@given(st.text())
def test_w03_any_text_becomes_printable_and_any_header_is_read(text: str) -> None:
    assert all(c == " " or c.isprintable() for c in visible(text))
    for name, value in fields(text):
        assert visible(name) == name or len(name) > 80
        assert len(value) <= LONGEST + 1


def test_files_are_named_as_their_fields_say_each_once_and_harmless_to_the_eye() -> None:
    assert file_names(
        [
            'Content-Disposition: attachment;\r\n filename="a b.pdf"',
            'content-type: application/pdf; name="a b.pdf"',
            "Content-Disposition: attachment; filename*=UTF-8''Cen%C3%ADk%E2%80%AE.pdf",
            'Content-Disposition: attachment; filename="=?utf-8?q?Cen=C3=ADk?="',
            "Content-Disposition: attachment; filename*=nowhere''%FF",
            "Content-Type: text/plain; charset=utf-8",
        ]
    )[:3] == ["a b.pdf", "Ceník\\u202e.pdf", "Ceník"]
