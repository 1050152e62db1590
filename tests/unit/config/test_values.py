"""What right texts mean: both files of the contract, and each form of each value."""

from __future__ import annotations

import ipaddress
from datetime import date
from pathlib import Path

import pytest

from gateway.config import built
from gateway.config.gateway_file import machine_name, read_settings
from gateway.config.gateway_keys import ACCEPT, DELIVERY, LINK, LISTEN, QUEUE, RELAY
from gateway.config.gateway_keys import GATEWAY as GATEWAY_TABLE
from gateway.config.rules import Condition, DateRange, Span, WindowRule
from gateway.config.schedule_keys import WINDOW
from gateway.config.settings import (
    AcceptSettings,
    Address,
    BudgetSettings,
    ClassRule,
    InsideSettings,
    LinkSettings,
    ListenSettings,
    PasswordSource,
    QueueSettings,
    RelaySettings,
    Settings,
)
from tests.unit.config.reading import GATEWAY, schedule_of, schedule_problems, settings_of

FOLDER = Path("/etc/tidegate")
TABLES = (ACCEPT, DELIVERY, LINK, LISTEN, QUEUE, RELAY, WINDOW)

WHOLE = """\
hostname: gw.brno.example.net          # said in EHLO, Received and reports; default: the machine's name
spool: /var/spool/tidegate
schedule: schedule.yaml
mode: offline
listen:
  - address: 0.0.0.0:25
  - address: "[::1]:587"
    tls: none
    auth: none
    networks: [0.0.0.0/0]
tls: {certificate: tls.pem, key: /etc/ssl/tls.key}
accept:
  networks: [127.0.0.0/8, "::1/128", 192.168.7.0/24, 10.0.0.7]
  senders: any
  domains: []
  max_message: 30 MB
  max_recipients: 100
  max_connections: 50
  max_connections_per_client: 5
  max_messages_per_client: none
  line_endings: repair
inside: {host: mail.brno.example.net, port: 2525}
links:
  - name: dsl
    interface: eth0
    kind: permanent
  - name: lte
    interface: wwan0
    kind: metered
  - name: modem
    interface: ppp0
    kind: dialled
    speed: 33.6 kbit/s
    relay: isp
relays:
  - name: hq
    host: smtp.hq.example.net
    port: 587
    tls: required
    ca: hq-ca.pem
    user: brno
    password: {file: hq.password}
  - host: "::1"
    name: isp
    tls: implicit
    user: x
    password: {credential: isp}
delivery:
  online: relay
queue:
  retry_interval: 10 min
  retry_ceiling: 2h
  max_attempts: none
  reserve: 2 GB
classes:
  - {class: urgent, from: [Alarm@Brno.Example.net, "*@pager.example"], header: "Importance: High"}
  - {class: bulk, to: "*@list.example.net"}
console:
  address: none
report_language: en
"""


def test_gateway_yaml_is_read_into_settings() -> None:
    settings = settings_of(WHOLE)
    assert settings.hostname == "gw.brno.example.net"
    assert (settings.spool, settings.schedule) == (Path("/var/spool/tidegate"), FOLDER / "schedule.yaml")
    assert settings.mode == "offline"
    assert settings.listen == (
        ListenSettings(Address("0.0.0.0", 25), line=6),
        ListenSettings(Address("::1", 587), networks=(ipaddress.ip_network("0.0.0.0/0"),), line=7),
    )
    assert settings.certificate is not None
    assert (settings.certificate.certificate, settings.certificate.key) == (
        FOLDER / "tls.pem",
        Path("/etc/ssl/tls.key"),
    )
    networks = ("127.0.0.0/8", "::1/128", "192.168.7.0/24", "10.0.0.7/32")
    assert settings.accept == AcceptSettings(
        networks=tuple(map(ipaddress.ip_network, networks)),
        max_message=30_000_000,
        max_recipients=100,
        max_connections=50,
        max_connections_per_client=5,
        line_endings="repair",
    )
    assert settings.inside == InsideSettings("mail.brno.example.net", 2525)
    assert settings.links == (
        LinkSettings("dsl", "eth0", "permanent", probe=60.0, line=24, is_kind_said=True),
        LinkSettings("lte", "wwan0", "metered", line=27, is_kind_said=True),
        LinkSettings("modem", "ppp0", "dialled", speed=33600.0, relay="isp", line=30, is_kind_said=True),
    )
    assert settings.relays == (
        RelaySettings(
            "hq",
            "smtp.hq.example.net",
            587,
            "required",
            ca=FOLDER / "hq-ca.pem",
            user="brno",
            password=PasswordSource(file=FOLDER / "hq.password"),
            line=36,
        ),
        RelaySettings("isp", "::1", 465, "implicit", user="x", password=PasswordSource(credential="isp"), line=43),
    )
    assert settings.queue == QueueSettings(600.0, 7200.0, None, reserve=2_000_000_000)
    assert settings.classes == (
        ClassRule("urgent", ("alarm@brno.example.net", "*@pager.example"), (), ("importance", "high"), line=56),
        ClassRule("bulk", (), ("*@list.example.net",), line=57),
    )
    assert settings.console is None
    assert settings.line_of("accept.max_message") == 16
    assert settings.line_of("queue.retry_interval") == 51
    assert settings.line_of("queue.warn_after") == 0


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n", "accept: {}\nqueue: {}\ndelivery: {}\n"])
def test_no_key_of_gateway_yaml_is_required(text: str) -> None:
    settings = settings_of(text)
    default = Settings(path=GATEWAY, hostname=machine_name(), spool=FOLDER / "spool")
    assert settings == default or (settings.key_lines and settings.accept == default.accept)
    assert settings.listen == default.listen
    assert settings.links == (LinkSettings(probe=None),)


def test_a_link_is_probed_only_if_it_is_declared_permanent() -> None:
    links = settings_of(
        "links:\n  - {name: a, kind: permanent}\n  - {name: b}\n  - {name: c, kind: permanent, probe: none}\n"
    )
    assert [link.probe for link in links.links] == [60.0, None, None]


def test_a_link_that_asks_for_probes_says_that_it_is_permanent_and_one_that_asks_for_none_does_not() -> None:
    links = settings_of(
        "links:\n  - {name: a, kind: metered}\n  - {name: b}\n  - {name: c, probe: 60 s}\n  - {name: d, probe: none}\n"
    )
    assert [link.is_kind_said for link in links.links] == [True, False, True, False]
    assert not settings_of("mode: auto\n").links[0].is_kind_said


def test_an_entry_without_a_name_takes_that_of_its_host_or_interface() -> None:
    settings = settings_of("links:\n  - interface: eth0\nrelays:\n  - host: smtp.example\n")
    assert settings.links[0].name == "eth0"
    assert settings.relays[0].name == "smtp.example"
    assert (settings.relays[0].port, settings.relays[0].tls) == (25, "required")


def test_lists_may_be_written_with_commas_as_well() -> None:
    one = settings_of("accept:\n  networks: 10.0.0.0/8, 192.168.7.0/24\n").accept.networks
    other = settings_of("accept:\n  networks:\n    - 10.0.0.0/8\n    - 192.168.7.0/24\n").accept.networks
    assert one == other == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("192.168.7.0/24"))


@pytest.mark.parametrize(
    "pin",
    ["AB" * 32, ":".join(["ab"] * 32), "sha256:" + "ab" * 32, "sha256//q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="],
)
def test_a_pin_is_hexadecimal_or_base64(pin: str) -> None:
    settings = settings_of(f'relays:\n  - host: a.example\n    pin: "{pin}"\n')
    assert settings.relays[0].pin == "ab" * 32


def test_what_is_promised_and_not_built_is_listed_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"tls": (), "report_language": ("en",), "accept.senders": ("any",), "queue.max_attempts": ("none",)}
    table |= {"delivery.online": ("relay",), "sources": ("[]",), "console": ()}
    monkeypatch.setattr(built, "NOT_IN_FORCE", table)
    settings = settings_of(
        "tls: {certificate: a, key: b}\nreport_language: cs\naccept:\n  senders: own\n  max_messages_per_client: 100\n"
        "queue:\n  max_attempts: 5\n  give_up_after: 5 days\ndelivery:\n  online: direct\n"
        "sources:\n  - {name: hq, kind: etrn, host: hq.example, domains: a.example}\nconsole:\n  address: 127.0.0.1:8025\n"
    )
    assert [str(entry) for entry in settings.not_in_force] == [
        "tls (line 1)",
        "report_language (line 2)",
        "accept.senders (line 4)",
        "queue.max_attempts (line 7)",
        "delivery.online (line 10)",
        "sources (line 11)",
        "console (line 13)",
    ]


def test_every_unbuilt_key_is_a_key() -> None:
    tables = {table.path: table for table in (GATEWAY_TABLE, *TABLES)}
    for dotted in [*built.NOT_IN_FORCE, *built.REFUSED]:
        path, _, name = dotted.rpartition(".")
        assert name in tables[path].names(), dotted


def test_values_that_ask_for_nothing_are_in_force() -> None:
    text = (
        "report_language: en\naccept: {senders: any, domains: [], max_messages_per_client: none}\nsources: []\n"
        "delivery: {online: relay}\nqueue: {max_attempts: none}\n"
        "listen:\n  - {address: '127.0.0.1:25', tls: none, auth: none}\n"
    )
    assert settings_of(text).not_in_force == ()


# The schedule

CONTRACT = """\
timezone: Europe/Prague                # required; every time here and on screen is in it
defaults:                              # any key of a window but name, days, open, at
  dial: yes
windows:
  - name: Working hours
    days: mon-fri
    open: 08:00-18:00
    every: 30 min
    for: 5 min
    send: urgent, normal
    max_message: 2 MB
    budget: 20 MB per day
    fetch: hq-etrn
  - name: Night
    open: 22:00-05:00                  # ends the next morning
exceptions:
  - name: Christmas
    dates: 12-24..12-26
    like: sunday
  - name: Provider works on the line
    dates: 2026-11-26
    closed: 22:00-24:00
"""


def window(body: str, head: str = "timezone: UTC\n") -> WindowRule:
    [rule] = schedule_of(f"{head}windows:\n  - name: W\n{body}").windows
    return rule


def test_the_schedule_of_the_contract_is_read_into_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "NOT_IN_FORCE", {"window.budget": ("none",), "window.dial": ("no",)})
    file = schedule_of(CONTRACT)
    hours, night = file.windows
    assert str(file.timezone) == "Europe/Prague"
    assert (hours.name, hours.days, hours.open) == ("Working hours", frozenset(range(5)), (Span(480, 1080),))
    assert (hours.every, hours.longest, hours.send, hours.max_message) == (1800, 300, ("urgent", "normal"), 2_000_000)
    assert (hours.budget, hours.fetch, hours.dial) == (BudgetSettings(20_000_000, "day"), ("hq-etrn",), True)
    assert (night.days, night.open, night.send) == (
        frozenset(range(7)),
        (Span(1320, 300),),
        ("urgent", "normal", "bulk"),
    )
    assert (night.longest, night.every, night.line, night.line_of("dial"), night.line_of("open")) == (
        900,
        None,
        14,
        3,
        15,
    )
    assert (night.column_of("open"), hours.column_of("send")) == (11, 11)
    christmas, works = file.exceptions
    assert christmas.dates == (DateRange(date(2000, 12, 24), date(2000, 12, 26), yearly=True),)
    assert (christmas.like, christmas.line, christmas.column) == (6, 17, 5)
    assert works.dates == (DateRange(date(2026, 11, 26), date(2026, 11, 26)),)
    assert works.closed == (Span(1320, 1440),)
    assert [str(entry) for entry in file.not_in_force] == ["dial (line 3)", "budget (line 12)"]


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("fri-mon", {4, 5, 6, 0}),
        ("mon, wed, sat-sun", {0, 2, 5, 6}),
        ("[mon, wed, sat-sun]", {0, 2, 5, 6}),
        ("Monday-Wednesday", {0, 1, 2}),
        ("tuesday", {1}),
        ("daily", set(range(7))),
        ("workdays", {0, 1, 2, 3, 4}),
        ("weekend, wed", {2, 5, 6}),
        ("sun-sat", set(range(7))),
        ("thu-thu", {3}),
    ],
)
def test_days_are_read(days: str, numbers: set[int]) -> None:
    assert window(f"    at: 06:30\n    days: {days}\n").days == numbers


@pytest.mark.parametrize(
    ("written", "spans"),
    [
        ("08:00-18:00", ((480, 1080),)),
        ("22:00-05:00", ((1320, 300),)),
        ("00:00-24:00", ((0, 1440),)),
        ("22:00-24:00", ((1320, 1440),)),
        ("22:00-00:00", ((1320, 1440),)),
        ("06:00-07:30, 22:00-06:00", ((360, 450), (1320, 360))),
        ("[06:00-07:30, 22:00-06:00]", ((360, 450), (1320, 360))),
        ("\n      - 06:00 - 07:30\n      - 22:00-06:00", ((360, 450), (1320, 360))),
        ("06:00-07:30,\n      22:00-06:00", ((360, 450), (1320, 360))),
        ("'08:00-18:00'", ((480, 1080),)),
    ],
)
def test_stretches_are_read(written: str, spans: tuple[tuple[int, int], ...]) -> None:
    assert window(f"    open: {written}\n").open == tuple(Span(*span) for span in spans)


def test_moments_are_sorted_and_told_once() -> None:
    assert window("    at: 14:00, 11:30, 00:00, 11:30\n").at == (0, 690, 840)


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("urgent waiting", (Condition("urgent waiting"),)),
        ("oldest over 2 h", (Condition("oldest over", 7200),)),
        ("more than 20 messages", (Condition("more messages than", 20),)),
        ("more than 5 MB", (Condition("more octets than", 5_000_000),)),
        ("urgent waiting or oldest over 12 h", (Condition("urgent waiting"), Condition("oldest over", 43200))),
        ("[urgent waiting, more than 1 message]", (Condition("urgent waiting"), Condition("more messages than", 1))),
    ],
)
def test_conditions_are_read(written: str, terms: tuple[Condition, ...]) -> None:
    assert window(f"    at: 06:30\n    only_if: {written}\n").only_if == terms


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        ("all", ("urgent", "normal", "bulk")),
        ("none", ()),
        ("bulk, urgent", ("urgent", "bulk")),
        ("[normal]", ("normal",)),
        ("[all]", ("urgent", "normal", "bulk")),
    ],
)
def test_classes_are_read_in_the_order_of_sending(written: str, classes: tuple[str, ...]) -> None:
    assert window(f"    at: 06:30\n    send: {written}\n").send == classes


@pytest.mark.parametrize(
    ("written", "names"), [("all", "all"), ("none", ()), ("a, b", ("a", "b")), ("[a, b]", ("a", "b"))]
)
def test_sources_are_read(written: str, names: object) -> None:
    assert window(f"    at: 06:30\n    fetch: {written}\n").fetch == names


def test_a_window_overrides_the_defaults() -> None:
    head = "timezone: UTC\ndefaults:\n  max_message: 1 MB\n  every: 1 h\n"
    head += "  send: urgent\n  budget: 1 MB per session\n  enabled: no\n"
    rule = window("    open: 08:00-18:00\n    max_message: none\n    budget: none\n    enabled: yes\n", head)
    assert (rule.max_message, rule.budget, rule.enabled, rule.every, rule.send) == (None, None, True, 3600, ("urgent",))
    assert window("    at: 06:30\n", head).every is None


@pytest.mark.parametrize(
    ("written", "ranges"),
    [
        ("2026-12-24", [DateRange(date(2026, 12, 24), date(2026, 12, 24))]),
        ("12-24", [DateRange(date(2000, 12, 24), date(2000, 12, 24), yearly=True)]),
        ("02-29", [DateRange(date(2000, 2, 29), date(2000, 2, 29), yearly=True)]),
        ("2028-02-29", [DateRange(date(2028, 2, 29), date(2028, 2, 29))]),
        ("12-24..01-02", [DateRange(date(2000, 12, 24), date(2000, 1, 2), yearly=True)]),
        ("2026-12-24..2027-01-02", [DateRange(date(2026, 12, 24), date(2027, 1, 2))]),
        (
            "01-01, 2026-05-01",
            [DateRange(date(2000, 1, 1), date(2000, 1, 1), yearly=True), DateRange(date(2026, 5, 1), date(2026, 5, 1))],
        ),
        ("\n      - 01-01 .. 01-02\n", [DateRange(date(2000, 1, 1), date(2000, 1, 2), yearly=True)]),
    ],
)
def test_dates_are_read(written: str, ranges: list[DateRange]) -> None:
    file = schedule_of(f"timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {written}\n")
    assert list(file.exceptions[0].dates) == ranges
    assert file.exceptions[0].closed == (Span(0, 1440),)


def test_a_text_with_commas_holds_a_thousand_values_at_most() -> None:
    assert window("    at: " + ", ".join(["06:30"] * 1000) + "\n").at == (390,)
    [problem] = schedule_problems(f"timezone: UTC\nwindows:\n  - name: W\n    at: {'06:30,' * 100_000}06:30\n")
    assert problem.what.endswith('…" is not a time of day')


def test_an_extra_window_takes_the_name_of_its_exception_and_the_defaults() -> None:
    file = schedule_of(
        "timezone: UTC\ndefaults:\n  via: hq\nexceptions:\n  - name: Stocktaking\n    dates: 2026-11-28\n    extra:\n"
        "      - open: 14:00-18:00\n      - name: Late\n        at: 23:00\n        via: isp\n"
    )
    first, second = file.exceptions[0].extra
    assert (first.name, first.days, first.via, first.line, first.line_of("via")) == ("Stocktaking", None, "hq", 8, 3)
    assert (second.name, second.at, second.via, second.line_of("via")) == ("Late", (1380,), "isp", 11)
    assert file.all_windows == (first, second)


def test_without_settings_names_of_relays_and_sources_are_not_checked() -> None:
    assert window("    at: 06:30\n    via: anything\n    fetch: whatever\n").via == "anything"


def test_direct_delivery_without_dnspython_is_a_mistake_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.config.gateway_file.find_spec", lambda name: None)
    problems = read_settings("delivery:\n  online: direct\n", Path("gateway.yaml"))[1]
    assert [(p.line, p.column) for p in problems] == [(2, 11)]
    assert "needs dnspython, which is not installed" in problems[0].head
    assert "tidegate[direct]" in (problems[0].hint or "")
    assert read_settings("delivery: {online: relay}\n", Path("gateway.yaml"))[1] == []


def test_no_relay_is_called_as_the_ways_to_domains_are() -> None:
    problems = read_settings("relays: [{name: 'direct:hq.example', host: hq.example}]\n", Path("gateway.yaml"))[1]
    assert [(p.line, p.column) for p in problems] == [(1, 18)]
