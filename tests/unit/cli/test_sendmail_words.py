"""The command line of sendmail, as programs write it."""

from __future__ import annotations

import pytest

from gateway.cli.sendmail_words import Words, read_words
from gateway.errors import UsageError


def read(line: str, program: str = "sendmail") -> Words:
    return read_words(program, line.split())


@pytest.mark.parametrize(
    ("line", "extract", "dot_ends", "sender", "recipients"),
    [
        ("-t -i", True, False, None, []),
        ("-ti", True, False, None, []),
        ("-t -oi", True, False, None, []),
        ("-oi -f me@x you@y", False, False, "me@x", ["you@y"]),
        ("-fme@x you@y", False, True, "me@x", ["you@y"]),
        ("-r me@x you@y", False, True, "me@x", ["you@y"]),
        ("you@y -f me@x", False, True, "me@x", ["you@y"]),
        ("-itfme@x you@y", True, False, "me@x", ["you@y"]),
        ("-oem -odb -om -oi -o7 you@y", False, False, None, ["you@y"]),
        ("-o i you@y", False, False, None, ["you@y"]),
        ("-bm -- -strange@y", False, True, None, ["-strange@y"]),
        (
            "-X /tmp/log -h 3 -L tag -p smtp -A c -G -n -m -v -U -em -d9.1 -O a=b -C /etc/x you@y",
            False,
            True,
            None,
            ["you@y"],
        ),
        ("-f <> you@y", False, True, "<>", ["you@y"]),
        ("a@b, c@d", False, True, None, ["a@b,", "c@d"]),
    ],
)
def test_options_as_programs_write_them(
    line: str, extract: bool, dot_ends: bool, sender: str | None, recipients: list[str]
) -> None:
    words = read(line)
    assert (words.mode, words.extract, words.dot_ends) == ("mail", extract, dot_ends)
    assert (words.sender, words.recipients) == (sender, recipients)


@pytest.mark.parametrize(
    ("program", "line", "mode"),
    [
        ("sendmail", "-bp", "queue"),
        ("mailq", "", "queue"),
        ("mailq", "-v", "queue"),
        ("sendmail", "-bi", "aliases"),
        ("newaliases", "", "aliases"),
        ("sendmail", "-bs", "smtp"),
        ("sendmail", "-b s", "smtp"),
        ("sendmail", "-q", "send"),
        ("sendmail", "-qff", "send"),
        ("sendmail", "-q15m", "send"),
    ],
)
def test_what_it_is_called_for(program: str, line: str, mode: str) -> None:
    assert read(line, program).mode == mode


def test_a_part_of_the_queue_is_named_by_id_recipient_or_sender() -> None:
    assert read("-qIabc123").only == ("I", "abc123")
    assert read("-qRhq.example").only == ("R", "hq.example")
    assert read("-qSanna").only == ("S", "anna")
    assert read("-q").only is None


def test_delivery_notices_and_body_types_are_taken_in_any_case() -> None:
    words = read("-N failure,DELAY -R hdrs -V a+b=c -B 8bitmime -F Anna x@y")
    assert (words.notify, words.ret, words.envid, words.body, words.name) == (
        "FAILURE,DELAY",
        "HDRS",
        "a+2Bb+3Dc",
        "8BITMIME",
        "Anna",
    )
    assert read("-N never x@y").notify == "NEVER"


@pytest.mark.parametrize(
    "line",
    [
        "-f",
        "-Z x@y",
        "--help",
        "-N never,delay x",
        "-N sometimes x",
        "-R all x",
        "-V ü x",
        "-B 9bit x",
        "-bd",
        "-bv x@y",
    ],
)
def test_what_cannot_be_meant_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match=r"\S") as told:
        read(line)
    assert "sendmail: " not in str(told.value)  # whoever prints it puts the program's name before it
