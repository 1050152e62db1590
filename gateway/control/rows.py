"""The shapes of answers, exactly as DESIGN section 10 names them. Instants are ISO 8601 text with offset; sizes octets."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["waiting", "deferred", "held", "sending"]


class NextTryRow(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["asap", "time", "window", "released", "never"]
    at: str | None = None
    window: str | None = None


class QueueRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from", "message_class": "class"}):
    """A message in the queue."""

    id: str
    created: str
    next_try: NextTryRow
    size: int
    sender: str
    to: list[str]
    status: str
    state: State
    message_class: str
    attempts: int


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    state: Literal["ok", "wait", "stop"]
    text: str
    file: str | None = None
    line: int | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    verdict: str
    next_try: NextTryRow
    checks: list[CheckRow]


class SendingRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A message being sent now. `elapsed` in seconds."""

    id: str
    size: int
    sender: str
    to: list[str]
    phase: str
    relay: str
    elapsed: float
    percent: int


class OpeningRow(msgspec.Struct, frozen=True, kw_only=True):
    window: str
    opens: str
    closes: str


class ModeRow(msgspec.Struct, frozen=True, kw_only=True):
    """`until`: when a `--for` is over. `since`: when `now` came into force; null while the gateway does not run."""

    set: str
    now: str
    why: str
    until: str | None = None
    since: str | None = None


class BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """`of`: link or window. `stop`: none, soft (only class urgent may go) or hard; `renews`: when the next period begins.
    `planned`: octets that the opening in progress or the next will use of it; null where none is ahead, or before a count."""

    of: Literal["link", "window"]
    name: str
    octets: int
    per: str
    used: int
    left: int
    stop: str
    renews: str | None = None
    planned: int | None = None


class TariffRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a use of a link costs, in the operator's own money. `rounding`: seconds that a use is rounded up to."""

    per_minute: float | None
    per_mb: float | None
    rounding: float


class LinkRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    interface: str
    up: bool
    usable: bool
    why: str
    since: str
    speed: float | None = None
    octets_in: int | None = None
    octets_out: int | None = None
    call: str | None = None  # of a link that can be called: down, calling, raised, hanging up
    calls_left: int | None = None  # today; null where there is no limit
    octets_month: int | None = None  # on the line this month; null where no count is kept
    money_month: float | None = None  # this month, where there is a tariff
    tariff: TariffRow | None = None
    metered: bool | None = None  # what NetworkManager says; null where it is not asked or does not know
    operator: str | None = None  # of a modem, as ModemManager says; so are the next two
    signal: int | None = None  # percent
    access: str | None = None  # LTE, EDGE


class RelayRow(msgspec.Struct, frozen=True, kw_only=True):
    """The first relay in order, and what is wrong with it, if anything is."""

    name: str
    host: str
    port: int
    trouble: str | None = None
    next_try: str | None = None


class DirectRow(msgspec.Struct, frozen=True, kw_only=True):
    """Mail goes to the servers of its domains at this moment. `in_trouble`: domains that are, of which the first to be tried
    again are listed (`name` and `host` are the domain)."""

    in_trouble: int
    domains: list[RelayRow]


class WindowRow(msgspec.Struct, frozen=True, kw_only=True):
    open: list[OpeningRow]
    next: OpeningRow | None


class QueueTotals(msgspec.Struct, frozen=True, kw_only=True):
    """`oldest`: when the oldest message was accepted."""

    messages: int
    octets: int
    oldest: str | None
    by_state: dict[str, int]


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One real use of the line: in progress where `ended` is null."""

    link: str
    relay: str
    window: str | None
    started: str
    ended: str | None
    sent: int
    octets_out: int
    octets_in: int
    why: str
    money: float | None = None
    end: str | None = (
        None  # how it ended: done, unreachable, refused, tls, auth, busy, broken, setup, damaged, names, loop
    )
    dials: int = 0  # calls that were made for it, also those that did not come up


class ForecastRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the opening in progress or the next one takes, and what stays."""

    window: str
    opens: str
    closes: str
    messages: int
    octets: int
    seconds: float | None
    staying: int
    staying_octets: int


class DiskRow(msgspec.Struct, frozen=True, kw_only=True):
    free: int
    reserve: int
    set_aside: int


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    running: bool
    mode: ModeRow
    links: list[LinkRow]
    relay: RelayRow | None
    window: WindowRow
    queue: QueueTotals
    session: SessionRow | None
    not_in_force: list[str]
    forecast: ForecastRow | None = None
    sending: list[SendingRow] = []
    sessions: list[SessionRow] = []
    skips: list[str] = []
    files_changed: list[str] = []
    disk: DiskRow | None = None
    memory: int | None = None
    budgets: list[BudgetRow] = []
    clock: str | None = None  # why the clock is not set; null while it is
    timezone: str = "UTC"
    direct: DirectRow | None = None  # null while mail goes through relays
