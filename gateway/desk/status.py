"""The state of the gateway in one object (DESIGN section 10, `status --json`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Literal

from gateway import __version__
from gateway.connectivity import host
from gateway.connectivity.devices import DeviceFacts
from gateway.connectivity.ledger import BudgetState, account_of_link, account_of_window
from gateway.connectivity.state import LinkState
from gateway.control.rows import (
    BudgetRow,
    DirectRow,
    DiskRow,
    ForecastRow,
    LinkRow,
    ModeRow,
    OpeningRow,
    QueueTotals,
    RelayRow,
    SessionRow,
    StatusReport,
    TariffRow,
    WindowRow,
)
from gateway.desk.view import iso, sending_row
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Situation, is_direct
from gateway.dispatch.forecast import Forecast
from gateway.dispatch.lane import SessionRecord
from gateway.dispatch.meter import Meter
from gateway.dispatch.way import DIRECT
from gateway.schedule.calendar import Opening
from gateway.spool.spool import Spool

SESSIONS_SHOWN = 24
DOMAINS_SHOWN = 20


def report(
    dispatcher: Dispatcher, spool: Spool, now: float, by_state: dict[str, int], expected: Forecast | None
) -> StatusReport:
    """`by_state`: messages by their state, as the queue view counts them; `expected`: what the next opening takes of them."""
    situation = dispatcher.situation()
    zone = situation.calendar.file.timezone
    entries = spool.entries.values()
    oldest = min((entry.created for entry in entries), default=None)
    free, reserve = spool.room()
    sessions = list(dispatcher.sessions.records)[-SESSIONS_SHOWN:]
    current = sessions[-1] if sessions and sessions[-1].ended is None else None
    waiting = [*dispatcher.settings.not_in_force, *dispatcher.timetable.schedule.not_in_force]
    return StatusReport(
        version=__version__,
        running=True,
        mode=mode_row(dispatcher),
        links=[link_row(state, situation, dispatcher.meter) for state in situation.links],
        relay=relay_row(situation),
        window=window_row(situation),
        queue=QueueTotals(
            messages=len(spool.entries),
            octets=sum(entry.size for entry in entries),
            oldest=None if oldest is None else iso(oldest, zone),
            by_state=by_state,
        ),
        session=None if current is None else session_row(current, zone),
        not_in_force=[str(key) for key in waiting],
        forecast=forecast_row(expected, zone),
        sending=[sending_row(sending, now) for sending in dispatcher.sessions.sending.values()],
        sessions=[session_row(session, zone) for session in sessions],
        skips=[f"{window}, {iso(opens, zone)}" for window, opens, _ in dispatcher.timetable.orders.skips],
        files_changed=dispatcher.files_changed(),
        disk=DiskRow(free=free, reserve=reserve, set_aside=spool.set_aside_count()),
        memory=host.own_memory(),
        budgets=budget_rows(dispatcher.meter, zone, None if expected is None else expected.planned),
        clock=dispatcher.clock_why,
        timezone=str(zone),
        direct=direct_row(situation),
    )


def mode_row(dispatcher: Dispatcher) -> ModeRow:
    mode = dispatcher.mode
    orders = dispatcher.timetable.orders
    zone = dispatcher.timetable.schedule.timezone
    until = None if orders.mode_until is None else iso(orders.mode_until, zone)
    return ModeRow(set=orders.mode, now=mode.now, why=mode.why, until=until, since=iso(mode.since, zone))


def link_row(state: LinkState, situation: Situation, meter: Meter | None = None) -> LinkRow:
    month = meter.month(state.name) if meter is not None else None
    money = month.money / 1e6 if month is not None and meter is not None and meter.has_tariff(state.name) else None
    call = situation.calls.get(state.name)
    told = state.told if state.told is not None else DeviceFacts()
    device = state.device or state.interface
    counted = None if device == "default" else host.interface_octets(device)
    return LinkRow(
        name=state.name,
        kind=state.kind,
        interface=state.interface,
        up=state.up,
        usable=state.usable,
        why=state.why,
        since=iso(state.since, situation.calendar.file.timezone),
        speed=situation.speed.get(state.name),
        octets_in=None if counted is None else counted[0],
        octets_out=None if counted is None else counted[1],
        call=None if call is None else call.phase,
        calls_left=None if call is None else call.left,
        octets_month=None if month is None else month.octets,
        money_month=money,
        tariff=_tariff_row(situation, state.name),
        metered=told.metered,
        operator=told.operator,
        signal=told.signal,
        access=told.access,
    )


def _tariff_row(situation: Situation, link: str) -> TariffRow | None:
    tariff = next((known.tariff for known in situation.settings.links if known.name == link), None)
    if tariff is None:
        return None
    return TariffRow(per_minute=tariff.per_minute, per_mb=tariff.per_mb, rounding=tariff.rounding)


def budget_rows(meter: Meter, zone: tzinfo, planned: Mapping[str, int] | None) -> list[BudgetRow]:
    """What was used of each budget, what is left, and what the forecast will use of it (None: there is no forecast); those of
    windows count Offline."""
    rows = []
    for name, state in meter.link_budgets().items():
        rows.append(_budget_row("link", name, state, zone, _of(planned, account_of_link(name))))
    for name, state in meter.window_budgets().items():
        rows.append(_budget_row("window", name, state, zone, _of(planned, account_of_window(name))))
    return rows


def _of(planned: Mapping[str, int] | None, account: str) -> int | None:
    return None if planned is None else planned.get(account, 0)


def _budget_row(
    of: Literal["link", "window"], name: str, state: BudgetState, zone: tzinfo, planned: int | None
) -> BudgetRow:
    return BudgetRow(
        of=of,
        name=name,
        octets=state.budget.octets,
        per=state.budget.per,
        used=state.used,
        left=state.left,
        stop=state.stop,
        planned=planned,
        renews=None if state.renews is None else iso(state.renews, zone),
    )


def relay_row(situation: Situation) -> RelayRow | None:
    """The first relay in order; its trouble if it is in any."""
    if not situation.settings.relays:
        return None
    relay = situation.settings.relays[0]
    trouble = situation.troubles.get(relay.name)
    return RelayRow(
        name=relay.name,
        host=relay.host,
        port=relay.port,
        trouble=None if trouble is None else trouble.why,
        next_try=None if trouble is None else iso(trouble.until, situation.calendar.file.timezone),
    )


def direct_row(situation: Situation) -> DirectRow | None:
    """Domains in trouble, where mail goes directly at this moment."""
    if not is_direct(situation):
        return None
    zone = situation.calendar.file.timezone
    known = [(name.removeprefix(DIRECT), t) for name, t in situation.troubles.items() if name.startswith(DIRECT)]
    ahead = sorted((item for item in known if item[1].until > situation.now), key=lambda item: item[1].until)
    rows = [
        RelayRow(name=domain, host=domain, port=25, trouble=trouble.why, next_try=iso(trouble.until, zone))
        for domain, trouble in ahead[:DOMAINS_SHOWN]
    ]
    return DirectRow(in_trouble=len(ahead), domains=rows)


def window_row(situation: Situation) -> WindowRow:
    zone = situation.calendar.file.timezone
    openings = [opening_row(state.opening, zone) for state in situation.open]
    following = next((o for o in situation.calendar.openings(situation.now) if o.opens > situation.now), None)
    return WindowRow(open=openings, next=None if following is None else opening_row(following, zone))


def opening_row(opening: Opening, zone: tzinfo) -> OpeningRow:
    return OpeningRow(window=opening.window.name, opens=iso(opening.opens, zone), closes=iso(opening.closes, zone))


def forecast_row(expected: Forecast | None, zone: tzinfo) -> ForecastRow | None:
    if expected is None:
        return None
    return ForecastRow(
        window=expected.opening.window.name,
        opens=iso(expected.opening.opens, zone),
        closes=iso(expected.opening.closes, zone),
        messages=expected.messages,
        octets=expected.octets,
        seconds=expected.seconds,
        staying=expected.staying,
        staying_octets=expected.staying_octets,
    )


def session_row(session: SessionRecord, zone: tzinfo) -> SessionRow:
    return SessionRow(
        link=session.link,
        relay=session.relay,
        window=session.window,
        started=iso(session.started, zone),
        ended=None if session.ended is None else iso(session.ended, zone),
        sent=session.sent,
        octets_out=session.octets_out,
        octets_in=session.octets_in,
        why=session.why,
        money=session.money,
        end=session.end,
        dials=session.dials,
    )
