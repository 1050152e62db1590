"""The mail log: one line an event, and nothing that a stranger writes is more than a value (DESIGN 12, P15)."""

from __future__ import annotations

import inspect
import io
import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import events, maillog
from gateway.events import (
    Alarm,
    Attempt,
    DeferredTo,
    DeliveredTo,
    Dialled,
    Event,
    FailedTo,
    HeldItem,
    InDoubt,
    LinkChanged,
    ModeChanged,
    Received,
    Refused,
    ReleasedItem,
    Remark,
    RemovedItem,
    RestoredItem,
    SessionEnded,
    SetAside,
    WindowEdge,
)
from gateway.maillog import MAX_LINE, MAX_VALUE, MailLog, cut, quoted, render

ID = "8k2f41c07a10"
NEXT = 1_772_345_400.0  # 2026-03-01T06:10:00Z

LINES: list[tuple[Event, str]] = [
    (
        Received(ID, "anna@brno.example", ("ops@hq.example", "b@hq.example"), 2048, "normal", "192.168.7.20"),
        "received from=<anna@brno.example> to=<ops@hq.example>,<b@hq.example> size=2048 class=normal"
        " client=192.168.7.20 service=smtp",
    ),
    (
        Received(ID, "", ("anna@brno.example",), 900, "normal", service="report"),
        "received from=<> to=<anna@brno.example> size=900 class=normal service=report",
    ),
    (Attempt(ID, "hq", 2), "attempt relay=hq number=2"),
    (
        DeliveredTo(ID, "ops@hq.example", "hq", "250 2.0.0 ok"),
        'delivered to=<ops@hq.example> relay=hq reply="250 2.0.0 ok"',
    ),
    (
        DeferredTo(ID, "ops@hq.example", None, "451 4.3.2 busy", NEXT),
        'deferred to=<ops@hq.example> reason="451 4.3.2 busy" next=2026-03-01T06:10:00Z',
    ),
    (
        FailedTo(ID, "ops@hq.example", "hq", "550 5.1.1 unknown", "9x0000000001"),
        'failed to=<ops@hq.example> relay=hq reason="550 5.1.1 unknown" report=9x0000000001',
    ),
    (
        InDoubt(ID, ("ops@hq.example",), "hq", "the line broke", NEXT),
        'in-doubt to=<ops@hq.example> relay=hq reason="the line broke" next=2026-03-01T06:10:00Z',
    ),
    (RemovedItem(ID, "operator"), "removed by=operator final=no"),
    (RestoredItem(ID), "restored"),
    (HeldItem(ID, "ask Anna first"), 'held note="ask Anna first"'),
    (ReleasedItem(ID), "released"),
    (SetAside("x.env", "is cut short"), 'set-aside name=x.env reason="is cut short"'),
    (
        Refused("203.0.113.9", "550 5.7.1 relaying denied", "a@b.example", "c@d.example", ID),
        'refused client=203.0.113.9 from=<a@b.example> to=<c@d.example> reply="550 5.7.1 relaying denied"',
    ),
    (WindowEdge("Night", "open", NEXT), "window name=Night state=open until=2026-03-01T06:10:00Z"),
    (LinkChanged("dsl", "down", "eth0 has no carrier"), 'link name=dsl state=down why="eth0 has no carrier"'),
    (ModeChanged("offline", "auto", "no permanent link"), 'mode mode=offline set=auto why="no permanent link"'),
    (Dialled("modem", "up"), "dial link=modem state=up"),
    (
        SessionEnded("hq", "dsl", 3, 0, 4096, 512, 1.25, "done"),
        "session relay=hq link=dsl sent=3 fetched=0 octets=4608 out=4096 in=512 seconds=1.2 why=done",
    ),
    (
        SessionEnded("hq", "modem", 3, 0, 4096, 512, 61.0, "done", 0.1),
        "session relay=hq link=modem sent=3 fetched=0 octets=4608 out=4096 in=512 seconds=61.0 money=0.10 why=done",
    ),
    (Alarm("hq", "refuses our login"), 'alarm about=hq what="refuses our login"'),
    (Remark("reload", "both files were read"), 'remark about=reload what="both files were read"'),
]


@pytest.mark.parametrize(("event", "expected"), LINES, ids=lambda value: getattr(value, "kind", ""))
def test_an_event_is_one_line_with_the_queue_id_first_where_there_is_one(event: Event, expected: str) -> None:
    assert render(event) == (f"{ID} {expected}" if getattr(event, "id", None) else expected)


def test_every_kind_of_event_has_its_line() -> None:
    kinds = {kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)} - {Event}
    assert {type(event) for event, _ in LINES} == kinds


HOSTILE = [
    'x" to=<forged@example',
    "x\r\n8k2f41c07a11 delivered to=<forged@example>",
    "x\nalarm",
    "a=b",
    "tab\there",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "\u2028next",
    "\u0085next",
    "\ud800",
    "\x00",
    "\\",
    "",
    " ",
    "\u00a0",
    "a" * 100_000,
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_can_neither_end_the_line_nor_forge_a_key(value: str) -> None:
    line = render(Refused("203.0.113.9", value, value, value))
    assert len(line) < 8 * MAX_LINE
    assert line.isprintable()
    _, pairs = taken_apart(line)
    assert [key for key, _ in pairs] == ["client", "from", "to", "reply"]


@given(st.text(max_size=50))
def test_whatever_the_value_the_line_comes_apart_into_the_same_keys(value: str) -> None:
    line = render(DeferredTo(ID, value, value, value, NEXT))
    head, pairs = taken_apart(line)
    assert head == [ID, "deferred"]
    assert [key for key, _ in pairs] == ["to", "relay", "reason", "next"]
    assert line.isprintable()


@given(st.text(max_size=50))
def test_quoting_loses_nothing_of_a_short_value(value: str) -> None:
    shown = quoted(value)
    if shown.startswith('"'):
        shown = re.sub(
            r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))",
            lambda m: m[4] or chr(int(m[1] or m[2] or m[3], 16)),
            shown[1:-1],
        )
    assert shown == value


def test_a_long_value_is_cut_and_says_so() -> None:
    assert quoted("a" * 10_000) == "a" * (MAX_VALUE - 1) + "…"


def test_of_many_recipients_some_are_named_and_the_rest_counted() -> None:
    line = render(Received(ID, "", tuple(f"user{n}@example.net" for n in range(1000)), 1, "bulk"))
    assert "<user19@example.net>,+980 size=1 class=bulk" in line


def test_a_line_fits_a_pipe_whatever_the_recipients() -> None:
    everybody = tuple(f"{'ü' * 60}{n}@{'x' * 180}.example" for n in range(1000))
    line = cut(render(Received(ID, "", everybody, 1, "bulk")))
    assert len(line.encode()) < MAX_LINE


def test_the_plain_log_has_the_time_in_utc_in_front() -> None:
    out = io.StringIO()
    MailLog(out, {}, lambda: NEXT).write(Attempt(ID, "hq", 1))
    assert out.getvalue() == f"2026-03-01T06:10:00Z {ID} attempt relay=hq number=1\n"


def test_under_journald_the_priority_takes_the_place_of_the_time(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as out:
        status = os.fstat(out.fileno())
        log = MailLog(out, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        for event in (Remark("start", "hello"), SetAside("x.env", "bad"), Alarm("disk", "full")):
            log.write(event)
    lines = (tmp_path / "stream").read_text().splitlines()
    assert lines == [
        "<6>remark about=start what=hello",
        "<4>set-aside name=x.env reason=bad",
        "<3>alarm about=disk what=full",
    ]


def test_a_journal_that_reads_another_stream_is_none() -> None:
    out = io.StringIO()
    MailLog(out, {"JOURNAL_STREAM": "1:2"}, lambda: NEXT).write(ReleasedItem(ID))
    assert out.getvalue().startswith("2026-")


def test_a_reader_that_stands_still_holds_up_nobody_and_learns_how_much_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maillog, "MAX_BACKLOG", 50)
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "w") as out:
        log = MailLog(out, {}, lambda: NEXT)
        for number in range(2000):  # far more than a pipe holds; would wait for ever if it waited at all
            log.write(Remark("number", f"{number} {'x' * 500}"))
        os.set_blocking(reader.fileno(), False)
        seen = b""
        for last in range(3):
            while part := reader.read(65536):
                seen += part
            log.write(Remark("last", str(last)))
        while part := reader.read(65536):
            seen += part
    lines = seen.decode().splitlines()
    assert any("lines were lost" in line for line in lines)
    assert lines[-1].endswith("about=last what=2")
    assert all(line.startswith("2026-03-01T06:10:00Z remark ") for line in lines)


def test_a_log_nobody_can_read_any_more_is_no_reason_to_stop() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    out = open(writing, "w")  # noqa: SIM115  # closing it would raise for what could not be written
    log = MailLog(out, {})
    for _ in range(3):
        log.write(ReleasedItem(ID))
    with pytest.raises(BrokenPipeError):
        out.close()


def test_lines_of_one_round_leave_in_one_go_and_none_is_dropped() -> None:
    class Counting(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    out, due = Counting(), list[Callable[[], None]]()
    log = MailLog(out, {}, lambda: NEXT)
    log.gather(due.append)
    for number in range(3):
        log.write(Attempt(ID, "hq", number))
    assert (out.getvalue(), len(due)) == ("", 1)
    due.pop()()
    assert (out.getvalue().count("attempt"), out.flushes, due) == (3, 1, [])
    for number in range(5 * maillog.MAX_BACKLOG):
        log.write(Attempt(ID, "hq", number))
    log.gather(None)
    assert out.getvalue().count("attempt") == 3 + 5 * maillog.MAX_BACKLOG
    log.write(Attempt(ID, "hq", 0))
    assert out.getvalue().count("attempt") == 4 + 5 * maillog.MAX_BACKLOG


def test_no_event_has_room_for_a_password_or_content() -> None:
    for event, _ in LINES:
        names = {field.name for field in fields(event)}
        assert not names & {"password", "content", "octets", "body", "header", "subject"}


def taken_apart(line: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Words in front, then key and value, as a reader of the log would take a line apart."""
    words = re.findall(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', line)
    assert " ".join(words) == line
    head = [word for word in words if "=" not in word]
    pairs = [word.partition("=") for word in words if "=" in word]
    assert words[: len(head)] == head
    for _, _, value in pairs:
        assert value.startswith('"') or "=" not in value
    return head, [(key, value) for key, _, value in pairs]
