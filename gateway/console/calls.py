"""The table of `/api/v1`: what can be asked, with which words, and what comes back. The API and its OpenAPI document are made
from it, so that the document cannot say anything else than what is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from gateway.console.sentence import Sentence
from gateway.control import console_rows as shapes
from gateway.control import rows

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """One argument. `name` is the operation's, `schema` what it may be."""

    name: str
    schema: Schema
    what: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`result` is one object, or with `many` a list of them."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    operation: str
    what: str
    result: Any
    many: bool = False
    query: tuple[Word, ...] = ()
    body: tuple[Word, ...] = ()
    body_rule: Schema | None = None

    @property
    def takes_id(self) -> bool:
        return "{id}" in self.path


class Standing(msgspec.Struct, frozen=True):
    """The overview and its one sentence."""

    sentence: Sentence
    overview: shapes.Overview


class FieldRow(msgspec.Struct, frozen=True):
    """A header field, its encoded words read."""

    name: str
    value: str


class Message(msgspec.Struct, frozen=True):
    """A message in full, its header readable, its attachments by name; bounded in length and number."""

    subject: str
    fields: list[FieldRow]
    attachments: list[str]
    message: shapes.MessageReport


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What was started. `ids`: at most 500 of them."""

    messages: int
    octets: int
    ids: list[str]
    relay: str | None
    link: str | None
    text: str


class ItemResult(msgspec.Struct, frozen=True):
    id: str
    result: str


class Changed(msgspec.Struct, frozen=True):
    """How many messages, by what became of each; `items`: at most 500 of them."""

    count: int
    results: dict[str, int]
    items: list[ItemResult]


class ClockSet(msgspec.Struct, frozen=True):
    """The gateway's clock, and whether it counts as set."""

    clock: str
    is_set: bool


class Reloaded(msgspec.Struct, frozen=True):
    result: str
    not_in_force: list[str]


ID = {"type": "string", "pattern": "^[a-z0-9]{1,16}$"}
FILTER = {"type": "string", "maxLength": 1000}
_NAMED = (
    Word("ids", {"type": "array", "items": ID, "minItems": 1, "maxItems": 10000}, "these messages"),
    Word("match", {**FILTER, "minLength": 1}, "all that match a filter, as on the command line"),
    Word("all", {"const": True}, "the whole queue"),
)
_ONE_NAMING = {"oneOf": [{"required": ["ids"]}, {"required": ["match"]}, {"required": ["all"]}]}
_TEXT = {"type": "string", "maxLength": 1 << 20}

_NOW = Word("now", {"type": "boolean"}, "a dialled link may be called for it")
_LINK = (Word("name", {"type": "string", "minLength": 1, "maxLength": 200}, "the link", required=True),)

_PAGE = (
    Word("filter", FILTER, "the filter language of the command line"),
    Word(
        "show",
        {"enum": ["all", "look", "waiting", "deferred", "held", "sending", "window", "asap", "time", "never"]},
        "a group: those that need a look, a state, or a kind of Next Try",
    ),
    Word("window", {"type": "string", "maxLength": 200}, "with show=window: the window's name"),
    Word("sort", {"enum": ["created", "id", "size", "next", "from", "to", "status"]}, "the column"),
    Word("order", {"enum": ["asc", "desc"]}, "default desc"),
    Word("offset", {"type": "integer", "minimum": 0, "maximum": 10000000}, "rows before the page"),
    Word("limit", {"type": "integer", "minimum": 1, "maximum": 500}, "rows of the page, default 100"),
)

CALLS: tuple[Call, ...] = (
    Call("GET", "/overview", "overview", "The state: one sentence, and all that stands above the queue", Standing),
    Call("GET", "/status", "status", "As `tidegate status --json`", rows.StatusReport),
    Call("GET", "/queue", "page", "A page of the queue", shapes.PageReport, query=_PAGE),
    Call("GET", "/messages/{id}", "message", "One message in full", Message),
    Call("GET", "/messages/{id}/explain", "explain", "Why it is still here and when it leaves", rows.Explanation),
    Call("GET", "/sending", "sending", "What is being sent now", rows.SendingRow, many=True),
    Call("GET", "/links", "link", "The links and their state", rows.LinkRow, many=True),
    Call("GET", "/sessions", "sessions", "Each use of the line, the newest first", rows.SessionRow, many=True),
    Call("GET", "/traffic", "traffic", "The last 24 hours, by the hour", shapes.HourRow, many=True),
    Call(
        "GET",
        "/schedule",
        "schedule",
        "The schedule in force: its text, its week, the openings ahead",
        shapes.ScheduleReport,
        query=(
            Word(
                "week", {"type": "string", "format": "date", "pattern": r"^(19[89]\d|20\d\d)-\d\d-\d\d$"}, "a day of it"
            ),
        ),
    ),
    Call(
        "POST",
        "/schedule/check",
        "check",
        "Mistakes and warnings of a text, as `tidegate schedule check` finds them; changes nothing",
        shapes.CheckReport,
        body=(Word("text", _TEXT, "the text", required=True),),
    ),
    Call(
        "PUT",
        "/schedule",
        "write_schedule",
        "Put a text in force; 409 if the file is not the version that was read, 422 with every mistake",
        shapes.Written,
        body=(
            Word("text", _TEXT, "the text", required=True),
            Word("version", {"type": "string", "maxLength": 64}, "the version that was read", required=True),
        ),
    ),
    Call(
        "POST",
        "/schedule/open",
        "open",
        "An opening now, that admits everything",
        rows.OpeningRow,
        body=(Word("seconds", {"type": "number", "minimum": 1, "maximum": 604800}, "how long", required=True),),
    ),
    Call(
        "POST", "/schedule/skip", "skip", "The opening in progress, else the next, does not take place", rows.OpeningRow
    ),
    Call(
        "POST",
        "/preview",
        "preview",
        "What an action would do now: messages, octets, seconds; changes nothing",
        shapes.Preview,
        body=(
            Word("action", {"enum": ["send", "try", "remove", "hold", "release"]}, "the action", required=True),
            *_NAMED,
            Word("force", {"type": "boolean"}, "for send: class, size and Next Try do not count"),
            _NOW,
        ),
        body_rule=_ONE_NAMING,
    ),
    Call(
        "POST",
        "/send",
        "send",
        "Send the queue now, over a link that is up",
        Sent,
        body=(Word("force", {"type": "boolean"}, "class, size and Next Try do not count"), _NOW),
    ),
    Call(
        "POST",
        "/try",
        "try",
        "Send these messages now",
        Sent,
        body=(
            Word("ids", {"type": "array", "items": ID, "minItems": 1, "maxItems": 10000}, "which", required=True),
            _NOW,
        ),
    ),
    Call(
        "POST",
        "/links/up",
        "link up",
        "Call a dialled link; it stays up until it is put down",
        rows.LinkRow,
        body=_LINK,
    ),
    Call("POST", "/links/down", "link down", "Put down a link that was called", rows.LinkRow, body=_LINK),
    Call("POST", "/clock/accept", "clock accept", "The clock is right, says the operator", ClockSet),
    Call(
        "POST",
        "/hold",
        "hold",
        "Stop messages",
        Changed,
        body=(*_NAMED, Word("note", {"type": "string", "maxLength": 500}, "why; shown in the queue")),
        body_rule=_ONE_NAMING,
    ),
    Call("POST", "/release", "release", "Let held messages go", Changed, body=_NAMED, body_rule=_ONE_NAMING),
    Call(
        "POST",
        "/remove",
        "remove",
        "Take messages out; `undo` within ten minutes",
        Changed,
        body=(*_NAMED, Word("tell_senders", {"type": "boolean"}, "report it to the senders after ten minutes")),
        body_rule=_ONE_NAMING,
    ),
    Call("POST", "/undo", "undo", "Bring back what was removed last", Changed),
    Call(
        "POST",
        "/mode",
        "mode",
        "Choose the mode",
        rows.ModeRow,
        body=(
            Word("mode", {"enum": ["auto", "online", "offline", "stopped"]}, "the mode", required=True),
            Word("for", {"type": "number", "minimum": 1, "maximum": 31536000}, "seconds; then what was before"),
        ),
    ),
    Call("POST", "/reload", "reload", "Read both files again; 422 with every mistake, and the old stay", Reloaded),
)
