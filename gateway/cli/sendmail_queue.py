"""`mailq`, as scripts read Postfix's, and `sendmail -q`. Starts as fast as handing in does while a gateway answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gateway.cli.render import safe
from gateway.cli.sendmail_message import DAYS, MONTHS
from gateway.control.client import call
from gateway.errors import Exit, GatewayError, NotRunning
from gateway.spool.dropfile import FOLDER, SUFFIX, NotYours, check_spool

HEAD = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
"""Postfix's, as it is with long queue IDs."""

WIDEST_REASON = 76
MAX_HEAD = 8 * 1024 * 1024

Row = dict[str, Any]


def show_queue(spool: str) -> int:
    """Print the queue: of the running gateway, else as it lies on disk. Raises NotYours, SpoolError."""
    check_spool(spool)
    try:
        rows = list(call(f"{spool}/control.sock", "queue"))
    except NotRunning:
        print("mailq: the gateway is not running; this is what lies in its spool", file=sys.stderr)
        rows = list(_on_disk(spool))
    rows += _dropped(spool)
    print(listing(rows))
    return Exit.OK


def listing(rows: list[Row]) -> str:
    """Rows of `queue --json` as Postfix prints them: `*` behind the ID while it is sent, `!` while it is held."""
    if not rows:
        return "Mail queue is empty"
    lines = [HEAD]
    for row in rows:
        mark = {"sending": "*", "held": "!"}.get(row["state"], " ")
        name = f"{row['id']}{mark}"
        lines.append(f"{name:<17} {row['size']:>8} {_arrival(row['created']):>19} {row['from'] or 'MAILER-DAEMON'}")
        if row["status"]:
            lines.append(f"({row['status']})".rjust(WIDEST_REASON + 2))
        lines += [f"{'':<46} {address}" for address in row["to"]]
        lines.append("")
    octets = sum(row["size"] for row in rows)
    lines.append(f"-- {octets // 1024} Kbytes in {len(rows)} Request{'' if len(rows) == 1 else 's'}.")
    return "\n".join(safe(line) for line in lines)


def _arrival(text: str) -> str:
    at = datetime.fromisoformat(text).astimezone()
    return f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:>2} {at:%H:%M:%S}"


def _on_disk(spool: str) -> Iterator[Row]:
    if not os.path.isdir(f"{spool}/queue"):
        return
    from pathlib import Path

    from gateway.spool.reader import read_queue  # with the journal and records: half of the time that a start takes

    for record in read_queue(Path(spool)):
        yield _of_record(record)


def _of_record(record: Any) -> Row:
    return {
        "id": record.id,
        "size": record.size,
        "created": _iso(record.created),
        "from": record.reverse_path,
        "to": [recipient.address for recipient in record.pending],
        "state": "held" if record.held else "waiting",
        "status": record.hold_note or record.status or "",
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat()


def _dropped(spool: str) -> Iterator[Row]:
    """What was handed in and not taken in yet."""
    try:
        names = sorted(name for name in os.listdir(f"{spool}/{FOLDER}") if name.endswith(SUFFIX))
    except OSError:
        return
    for name in names:
        try:
            with open(f"{spool}/{FOLDER}/{name}", "rb") as file:
                head = json.loads(file.readline(MAX_HEAD))
                made = os.fstat(file.fileno()).st_mtime
            yield {
                "id": "(new)",
                "size": int(head["size"]),
                "created": _iso(made),
                "from": str(head["from"]),
                "to": [str(to["address"]) for to in head["to"]],
                "state": "waiting",
                "status": "handed in, to be taken into the queue when the gateway starts",
            }
        except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
            continue  # the gateway will set it aside


def send_queue(spool: str, only: tuple[str, str] | None) -> int:
    """`-q`: as `tidegate send`; where nothing can leave now the reason is told, and it is no failure of the caller's.

    `-qI ID`, `-qR PART`, `-qS PART`: as `tidegate try` for the message, or for those to or from such addresses.
    """
    socket = f"{spool}/control.sock"
    try:
        rows = list(call(socket, "send") if only is None else call(socket, "try", ids=_chosen(socket, *only)))
    except NotRunning as exc:
        if not os.access(spool, os.X_OK):
            raise NotYours(f"the spool {spool} is not yours: the queue is sent by its owner and root") from exc
        raise
    except GatewayError as exc:
        if only is not None or exc.exit_code != Exit.TEMP_FAIL:
            raise
        print(f"sendmail: {exc}", file=sys.stderr)
        return Exit.OK
    for row in rows:
        print(safe(str(row["text"])))
    return Exit.OK


def _chosen(socket: str, kind: str, text: str) -> list[str]:
    if kind == "I":
        return [text]
    word = "to" if kind == "R" else "from"
    plain = text.removeprefix("@")
    return [row["id"] for row in call(socket, "queue", filter=f"{word}:{plain}")]
