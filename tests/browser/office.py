"""An office for the browser: a gateway with its console, mail of every kind in its queue, and a relay that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.console import ConsoleGateway
from tests.support.evening import evening_zone, weekday_of_this_week
from tests.support.gateway import eventually, letter
from tests.support.relaythread import RelayThread

SETTINGS = """\
mode: offline
links:
  - {name: lte, kind: metered, speed: 128 kbit/s}
classes:
  - {class: urgent, from: [alarm@brno.example.com]}
  - {class: bulk, to: ["*@list.example.com"]}
queue: {retry_interval: 30 min}
"""

ZONE = evening_zone()

SCHEDULE = f"""\
# Branch Brno. LTE stick, 1 GB a month.
timezone: {ZONE}
windows:
  - name: Morning
    days: mon-fri
    at: 06:30
    for: 20 min
    max_message: 10 MB

  - name: Working hours
    days: mon-fri
    open: 08:00-18:00
    every: 30 min
    for: 5 min
    send: urgent, normal
    max_message: 2 MB

  - name: Urgent
    open: 07:00-21:00
    every: 10 min
    for: 3 min
    only_if: urgent waiting
    send: urgent
    max_message: 500 kB

  - name: Saturday
    days: sat
    open: 09:00-09:30

  - name: Night
    open: 22:00-05:00   # ends next morning
    send: all

exceptions:
  - name: Provider works on the line
    dates: {weekday_of_this_week(3, ZONE)}
    closed: 22:00-24:00
  - name: Stocktaking
    dates: {weekday_of_this_week(5, ZONE)}
    extra:
      - open: 14:00-18:00
        send: all
"""

MAIL = [
    ("faktury", ["billing@shop.example.org"], "Invoice 2026-0931", 4),
    ("recepce", ["visits@hq.example.net"], "Visitor list, week 49", 230),
    ("petr.dvorak", ["accounting@hq.example.net"], "Travel expenses, November", 33),
    ("newsletter", ["december-1@list.example.com"], "What is new in December", 640),
    ("newsletter", ["december-2@list.example.com", "old@list.example.com"], "What is new in December", 640),
    ("reditel", ["legal@partner.example.org"], "Draft contract, please do not sign yet", 58),
    ("", ["orders@customer.example.com"], "Undelivered mail returned to sender", 7),
    (
        "jana.novotna",
        ["kovar@partner.example.org", "sales@partner.example.org", "nowak@oldfirm.example.com"],
        "=?utf-8?q?Cen=C3=ADk_platn=C3=BD_od_prosince?=",
        96,
    ),
    ("konstrukce", ["vyroba@hq.example.net"], "Drawing set R-220, revision C", 8400),
    ("info", ["buyer@greylist.example.org"], "Re: Availability of spare parts", 24),
    ("sklad", ["dispo@carrier.example.com"], "Delivery notes 4471-4489", 1300),
    ("petr.dvorak", ["audit@hq.example.net", "cfo@hq.example.net", "archiv@hq.example.net"], "October inventory", 412),
    ("jana.novotna", ["purchasing@supplier.example.org"], "Order 26-1184, confirmed quantities", 18),
    ("scanner", ["archiv@hq.example.net"], "Scan 2026-11-24 12:11", 2),
]


def answer_recipient(line: str) -> str | None:
    """The relay's temper: one domain asks to wait, one address is gone."""
    if "greylist.example.org" in line:
        return "451 4.7.1 greylisted, try again in 30 minutes"
    if "nowak@" in line:
        return "550 5.1.1 no such user here"
    if "sales@" in line:
        return "452 4.2.2 mailbox full, try later"
    return None


@contextmanager
def office(folder: Path, *, with_password: bool = False) -> Iterator[tuple[ConsoleGateway, RelayThread]]:
    with (
        RelayThread({"RCPT": answer_recipient}) as relay,
        ConsoleGateway(folder, SETTINGS + relay.settings, SCHEDULE) as gateway,
    ):
        if with_password:
            gateway.set_password()
            gateway.set_password("viewer", "only looking around")
        yield gateway, relay


def fill(gateway: ConsoleGateway) -> list[str]:
    """An afternoon's mail; the IDs, oldest first. Some was sent already, some tried and put off, one is held."""
    for n in range(6):
        gateway.hand_in(
            letter(f"Morning {n}", "m" * 76 + "\r\n"), "archiv@hq.example.net", sender="sklad@brno.example.com"
        )
    gateway.run("send", "--force")
    eventually(lambda: not gateway.queue(), "the morning's mail left")
    ids = [_hand_in(gateway, *mail) for mail in MAIL]
    gateway.run("hold", ids[5], "--note", "Wait for the lawyer")
    gateway.run("try", ids[7], ids[9])
    eventually(lambda: len(gateway.queue("status:deferred")) >= 2, "the relay has put two off")
    return ids


def _hand_in(gateway: ConsoleGateway, sender: str, to: list[str], subject: str, kilobytes: int) -> str:
    body = ("x" * 76 + "\r\n") * max(1, kilobytes * 1000 // 78)
    return gateway.hand_in(letter(subject, body), *to, sender=f"{sender}@brno.example.com" if sender else "")
