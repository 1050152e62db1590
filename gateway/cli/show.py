"""What the commands print: one function an answer, from the JSON of `control` to lines for a terminal (DESIGN section 9)."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from gateway.cli.render import instant, safe, size, table

Row = dict[str, Any]

HEAD = ("ID", "Created", "Next try", "Size", "From", "To", "Status")
"""Kerio's columns, in Kerio's order."""


def safe_lines(text: str) -> str:
    """Several lines, each harmless on a terminal."""
    return "\n".join(safe(line) for line in text.split("\n"))


def clock(text: str | None, zone: tzinfo) -> str:
    return instant(text, zone)


def next_try(row: Row, zone: tzinfo) -> str:
    """`ASAP`, `12:30`, `Night 22:00`, `when released`, `never`."""
    kind, at, window = row["kind"], row["at"], row["window"]
    match kind:
        case "asap":
            return "ASAP"
        case "released":
            return "when released"
        case "window":
            return f"{clock(at, zone)} {window}"
        case "time":
            return clock(at, zone)
        case _:
            return "never"


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def queue_text(rows: list[Row], zone: tzinfo, sending: list[Row]) -> str:
    """Count and volume, the table, and what is being sent now."""
    total = sum(row["size"] for row in rows)
    lines = [f"{_messages(len(rows))}, {size(total)}"]
    if rows:
        cells = [
            (
                row["id"],
                clock(row["created"], zone),
                next_try(row["next_try"], zone),
                size(row["size"]),
                row["from"] or "(report)",
                _recipients(row["to"]),
                row["status"],
            )
            for row in rows
        ]
        lines += ["", table(HEAD, cells, right=(3,))]
    if sending:
        moving = [
            (
                row["id"],
                size(row["size"]),
                row["from"] or "(report)",
                _recipients(row["to"]),
                row["phase"],
                row["relay"],
                f"{row['elapsed']:.0f} s",
                f"{row['percent']} %",
            )
            for row in sending
        ]
        head = ("Sending", "Size", "From", "To", "Phase", "Relay", "Elapsed", "Sent")
        lines += ["", table(head, moving, right=(1, 6, 7))]
    return "\n".join(lines)


def _recipients(to: list[str]) -> str:
    return to[0] if len(to) == 1 else f"{to[0]} +{len(to) - 1}" if to else "-"


def explanation(row: Row) -> str:
    """The verdict, then every rule that was asked."""
    lines = [row["verdict"], ""]
    for check in row["checks"]:
        state = check["state"] if check["state"] == "ok" else check["state"].upper()
        place = f"  ({check['file']}:{check['line']})" if check["file"] and check["line"] else ""
        lines.append(f"  {state:<5} {check['name']:<8} {check['text']}{place}")
    return "\n".join(lines)


def message(row: Row) -> str:
    """One message: envelope, recipients, attempts, then its header."""
    lines = [f"{row['id']}  {size(row['size'])}  {row.get('message_class', 'normal')}"]
    lines.append(f"from     {row['reverse_path'] or '(a report of this gateway)'}")
    for recipient in row["recipients"]:
        words = f"  {recipient['reply']}" if recipient.get("reply") else ""
        lines.append(f"to       {recipient['address']}  {recipient.get('standing', 'pending')}{words}")
    client = " ".join(str(row[key]) for key in ("client", "helo", "user") if row.get(key))
    lines.append(f"accepted {_moment(row['created'])}" + (f"  from {client}" if client else ""))
    lines.append(f"tries    {row.get('tries', 0)}, of which the relay answered {row.get('attempts', 0)}")
    if row.get("status"):
        lines.append(f"last     {row['status']}")
    if row.get("doubt"):
        lines.append(f"in doubt {row['doubt'].get('count', 1)} time(s): {row['doubt'].get('reason', '')}")
    lines.append(f"sha256   {row['sha256']}")
    if row.get("header"):
        lines += ["", row["header"].replace("\r\n", "\n").expandtabs(4)]
    return "\n".join(lines)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def mode_line(row: Row) -> str:
    until = f", until {instant(row['until'])}" if row["until"] else ""
    since = f" since {instant(row['since'])}" if row.get("since") else ""
    chosen = f" (set: {row['set']}{until})" if row["set"] != row["now"] or until else ""
    return f"{row['now']}{since}{chosen}: {row['why']}"


def link_line(row: Row) -> str:
    state = "up" if row["up"] else "down"
    if row["kind"] == "permanent" and row["up"] and not row["usable"]:
        state = "up, not usable"
    speed = f", {row['speed'] / 1000:.0f} kbit/s" if row["speed"] else ""
    counted = f", {size(row['octets_in'])} in, {size(row['octets_out'])} out" if row["octets_in"] is not None else ""
    call = f", {row['call']}" if row.get("call") not in (None, "down") else ""
    call += f", {row['calls_left']} calls left today" if row.get("calls_left") is not None else ""
    month = f", {size(row['octets_month'])} on the line this month" if row.get("octets_month") is not None else ""
    month += f" for {row['money_month']:.2f}" if row.get("money_month") is not None else ""
    where = f"{row['name']} ({row['kind']}, {row['interface']})"
    modem = " ".join(str(word) for word in (row.get("operator"), row.get("access")) if word)
    modem += f" {row['signal']} %" if row.get("signal") is not None else ""
    radio = f", {modem.strip()}" if modem else ""
    return f"{where}: {state} since {instant(row['since'])}, {row['why']}{call}{radio}{speed}{month}{counted}"


def budget_line(row: Row) -> str:
    used = f"{size(row['used'])} of {size(row['octets'])} per {row['per']} used, {size(row['left'])} left"
    until = f" until {instant(row['renews'])}" if row["renews"] else ""
    stop = {"soft": "; only class urgent may go", "hard": "; nothing may go"}.get(row["stop"], "")
    planned = f", {size(row['planned'])} planned" if row.get("planned") is not None else ""
    return f"{row['of']} {row['name']}: {used}{until}{planned}{stop}"


def clock_line(row: Row) -> str:
    return f"accepted: it is {instant(row['clock'])}"


def reloaded(row: Row) -> str:
    waiting = row["not_in_force"]
    return "reloaded" + (f"; not in force yet: {', '.join(waiting)}" if waiting else "")


def status(row: Row) -> str:
    """The state in a few lines: mode, links, relay, windows, queue, sessions, what needs a look."""
    lines = [f"mode     {mode_line(row['mode'])}"]
    if row.get("clock"):
        lines.append(f"clock    {row['clock']}: windows wait; tidegate clock accept")
    lines += [f"link     {link_line(link)}" for link in row["links"]]
    lines += [f"budget   {budget_line(budget)}" for budget in row.get("budgets", [])]
    relay, direct = row["relay"], row.get("direct")
    if direct:
        lines.append(f"direct   to the servers of its domains; {direct['in_trouble']} in trouble")
        lines += [f"direct   {d['name']}: {d['trouble']}; next try {instant(d['next_try'])}" for d in direct["domains"]]
    if relay is None:
        what = "what cannot go directly waits" if direct else "mail is accepted and waits"
        lines.append(f"relay    no relay configured: {what}")
    else:
        trouble = f": {relay['trouble']}; next try {instant(relay['next_try'])}" if relay["trouble"] else ""
        lines.append(f"relay    {relay['name']} ({relay['host']}:{relay['port']}){trouble}")
    for opening in row["window"]["open"]:
        lines.append(f"window   {opening['window']} is open until {instant(opening['closes'])}")
    following = row["window"]["next"]
    lines.append(
        f"window   next is {following['window']}, {instant(following['opens'])}" if following else "window   none ahead"
    )
    queue = row["queue"]
    oldest = f", the oldest of {instant(queue['oldest'])}" if queue["oldest"] else ""
    states = ", ".join(f"{count} {state}" for state, count in sorted(queue["by_state"].items()))
    lines.append(
        f"queue    {_messages(queue['messages'])}, {size(queue['octets'])}{oldest}" + (f" ({states})" if states else "")
    )
    expected = row.get("forecast")
    if expected and queue["messages"]:
        seconds = f", about {expected['seconds']:.0f} s" if expected["seconds"] else ""
        lines.append(
            f"forecast {expected['window']} takes {expected['messages']}, {size(expected['octets'])}{seconds}; "
            f"{expected['staying']} stay, {size(expected['staying_octets'])}"
        )
    session = row["session"]
    if session:
        lines.append(f"session  with {session['relay']} over {session['link']} since {instant(session['started'])}")
    for skip in row.get("skips", []):
        window, _, opens = skip.rpartition(", ")
        lines.append(f"skipped  {window}, {instant(opens)}")
    lines += [
        f"changed  {file} differs from what is in force: tidegate reload" for file in row.get("files_changed", [])
    ]
    disk = row.get("disk")
    if disk:
        lines.append(f"disk     {size(disk['free'])} free, {size(disk['reserve'])} kept in reserve")
        if disk["set_aside"]:
            lines.append(f"look at  {disk['set_aside']} file(s) in set-aside/ of the spool")
    if row["not_in_force"]:
        lines.append(f"not in force yet: {', '.join(row['not_in_force'])}")
    return "\n".join(lines)


def screen(state: Row, rows: list[Row], sending: list[Row], zone: tzinfo) -> str:
    """Status and queue together, for a live view."""
    return "\n".join([safe_lines(status(state)), "", queue_text(rows, zone, sending)])
