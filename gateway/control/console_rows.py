"""The shapes of what the console reads, beside those of DESIGN section 10 in `rows`. Instants are ISO 8601 text with offset."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.control.rows import (
    BudgetRow,
    CheckRow,
    DirectRow,
    DiskRow,
    ForecastRow,
    LinkRow,
    ModeRow,
    NextTryRow,
    OpeningRow,
    QueueRow,
    RelayRow,
    SendingRow,
    SessionRow,
)

Kind = Literal["all", "limited", "urgent"]
"""What a window lets through: everything; some by class or size; urgent mail alone."""


class PageReport(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the queue. `total` and `octets`: all that match, not only `rows`; `messages`: the whole queue."""

    rows: list[QueueRow]
    total: int
    octets: int
    offset: int
    messages: int


class GoneRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is no longer in the queue."""

    id: str


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """Messages with the same Next Try."""

    next_try: NextTryRow
    messages: int
    octets: int


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """The queue counted. `look`: messages that need a person; `counted_at`: when, since a long queue is not counted anew
    for every look at it; `is_complete` is False until it was counted for the first time (no groups, no forecast yet)."""

    messages: int
    octets: int
    oldest: str | None
    by_state: dict[str, int]
    groups: list[GroupRow]
    look: int
    forecast: ForecastRow | None
    counted_at: str
    is_complete: bool


class BlockRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One opening on a time line. `times`: how many openings of the window it stands for, where they are too many to show."""

    window: str
    kind: Kind
    opens: str
    closes: str
    is_conditional: bool = False
    is_extra: bool = False
    by_hand: bool = False
    times: int = 1


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands above the table. `last_contact`: when the relay took the last session, None if that is not known;
    `undo_until`: the last removal can be undone until then. `now` is the gateway's clock."""

    version: str
    hostname: str
    timezone: str
    now: str
    mode: ModeRow
    links: list[LinkRow]
    relay: RelayRow | None
    last_contact: str | None
    open: list[OpeningRow]
    next: OpeningRow | None
    has_windows: bool
    queue: QueueCount
    session: SessionRow | None
    sessions: list[SessionRow]
    sending: list[SendingRow]
    day_begins: str
    day: list[BlockRow]
    not_in_force: list[str]
    files_changed: list[str]
    disk: DiskRow
    removable: int
    undo: int
    undo_until: str | None
    budgets: list[BudgetRow] = []
    clock: str | None = None  # why the gateway's clock cannot be right; None while it can
    direct: DirectRow | None = None  # None while mail goes through relays


class RecipientRow(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    standing: Literal["pending", "delivered", "failed", "expired"]
    reply: str | None = None
    relay: str | None = None
    at: str | None = None


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a message."""

    at: str
    kind: str
    text: str


class ConversationRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was said with a relay about one message. `lines` begin with `C: ` (we), `S: ` (the relay) or `# `."""

    at: str
    relay: str
    lines: list[str]


class MessageReport(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from", "message_class": "class"}):
    """One message in full. `header`: its header fields as they are, cut to 64 KiB; `part_fields`: those of its
    parts that may name a file; `files`: below the spool."""

    id: str
    created: str
    size: int
    sender: str
    recipients: list[RecipientRow]
    message_class: str
    service: str
    client: str | None
    user: str | None
    held: bool
    hold_note: str | None
    attempts: int
    tries: int
    last_try: str | None
    status: str | None
    in_doubt: bool
    sha256: str
    header: str
    part_fields: list[str]
    files: list[str]
    verdict: str
    next_try: NextTryRow
    checks: list[CheckRow]
    steps: list[StepRow]
    conversations: list[ConversationRow]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would do now: how many messages it is about, how many of them would go, and what that costs.

    `seconds` at the known speed of the line, None where none is known. `calls`: the link would be called for it. `money`: by
    the link's tariff, None where it has none or the time is not known. `why`: why nothing, or not all, would go.
    """

    messages: int
    octets: int
    going: int
    going_octets: int
    seconds: float | None
    link: str | None
    kind: str | None
    relay: str | None
    why: str | None
    calls: bool = False
    money: float | None = None


class HourRow(msgspec.Struct, frozen=True, kw_only=True):
    """Octets on the wire in one hour that begins at `begins`."""

    begins: str
    octets_out: int
    octets_in: int
    sent: int


class ClosedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an exception closes."""

    name: str
    begins: str
    ends: str


class DayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the week's grid: from its midnight to the next in the schedule's zone."""

    date: str
    begins: str
    ends: str
    is_today: bool
    exceptions: list[str]
    blocks: list[BlockRow]
    closed: list[ClosedRow]


class WindowLine(msgspec.Struct, frozen=True, kw_only=True):
    """A window or an exception of the file, in words, with its lines in the file (1-based, both included)."""

    name: str
    kind: Literal["all", "limited", "urgent", "exception"]
    words: str
    line: int
    end_line: int
    enabled: bool = True


class AheadRow(msgspec.Struct, frozen=True, kw_only=True):
    """An opening ahead and what leaves in it, as far as the queue is known now."""

    window: str
    opens: str
    closes: str
    messages: int
    octets: int


class ScheduleReport(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule in force. `version` names the text on disk: who changes it says which one was read.

    `text` is None where gateway.yaml names no schedule file.
    """

    file: str | None
    text: str | None
    version: str | None
    timezone: str
    first_day: str
    days: list[DayRow]
    windows: list[WindowLine]
    ahead: list[AheadRow]


class ProblemRow(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    column: int
    severity: Literal["error", "warning"]
    what: str
    hint: str | None


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `schedule check` says of a text. `echo`: what was understood, where there is no mistake."""

    is_valid: bool
    problems: list[ProblemRow]
    echo: str | None


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that was put in force, and the name of its text."""

    version: str
    text: str
