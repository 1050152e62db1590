"""Each row: a gateway.yaml with one mistake, its place, a piece of its text, what the caret underlines, a piece of its hint."""

from __future__ import annotations

import pytest

from gateway.config import built
from tests.unit.config.reading import gateway_problems, marked

HQ = "relays:\n  - name: hq\n    host: smtp.hq.example.net\n"
LINE = "links:\n  - name: dsl\n"
HEX = "ab" * 32

ROWS = [
    ("[a, b]\n", 1, 1, "a list stands where the settings of gateway.yaml should", "[", "hostname"),
    (
        "hostnam: gw.example\n",
        1,
        1,
        '"hostnam" is not a setting of gateway.yaml',
        "hostnam",
        'Did you mean "hostname"?',
    ),
    ("timezone: UTC\n", 1, 1, '"timezone" is not a setting', "timezone", "schedule file"),
    ("smarthost: x\n", 1, 1, '"smarthost" is not a setting', "smarthost", "relays"),
    ("hostname: gw_1.example.net\n", 1, 11, "is not a host name", "gw_1.example.net", "underscore"),
    ("hostname: gw..example.net\n", 1, 11, "is not a host name", "gw..example.net", "letters"),
    ("hostname: gw.example.net.\n", 1, 11, "is not a host name", "gw.example.net.", "dot at the end"),
    ("hostname: 10.0.0.1\n", 1, 11, "is not a host name", "10.0.0.1", ""),
    ("hostname: brně.example\n", 1, 11, "is not a host name", "brně.example", "xn--"),
    ("mode: ofline\n", 1, 7, '"ofline" is not a mode', "ofline", 'Did you mean "offline"?'),
    ("mode: auto\nmode: online\n", 2, 1, '"mode" is written twice in this block (first on line 1)', "mode", "keep one"),
    ("report_language: English\n", 1, 18, '"English" is not a language', "English", "en"),
    # listen, accept, inside
    ("listen: 0.0.0.0:25\n", 1, 9, '"listen" is a list', "0.0.0.0:25", "- address: …"),
    ("listen:\n  - 0.0.0.0:25\n", 2, 5, '"0.0.0.0:25" stands where', "0.0.0.0:25", "address: …"),
    ("listen:\n  - networks: 10.0.0.0/8\n", 2, 5, '"address" is missing in a listener', "n", "address: …"),
    ("listen:\n  - address: 0.0.0.0:smtp\n", 2, 22, '"smtp" is not a port', "smtp", "a number from 0 to 65535"),
    ("listen:\n  - address: 0.0.0.0:99999\n", 2, 22, '"99999" is not a port', "99999", "65535"),
    ("listen:\n  - address: 25\n", 2, 14, '"25" is not an address with a port', "25", "0.0.0.0:25 for everybody"),
    ("listen:\n  - address: 10.0.0.1\n", 2, 14, "is not an address with a port", "10.0.0.1", "10.0.0.1:25"),
    ("listen:\n  - address: localhost:25\n", 2, 14, '"localhost" is not an IP address', "localhost", "127.0.0.1:25"),
    ('listen:\n  - address: "*:25"\n', 2, 15, '"*" is not an IP address', "*", "0.0.0.0:25"),
    ('listen:\n  - address: "::1:25"\n', 2, 15, "is not an address with a port", "::1:25", "[::1]:2525"),
    ("listen:\n  - address: 127.0.0.1:25\n  - address: 127.0.0.1:25\n", 3, 14, "listened on twice", "127.0.0.1:25", ""),
    (
        "listen:\n  - {address: '127.0.0.1:25', port: 25}\n",
        2,
        31,
        '"port" is not a setting',
        "port",
        "part of the address",
    ),
    ("accept:\n  networks: 192.168.7.5/24\n", 2, 13, "has bits set", "192.168.7.5/24", "192.168.7.0/24"),
    ("accept:\n  networks: [10.0.0.0/8, office]\n", 2, 26, '"office" is not a network', "office", "looked up"),
    ("accept:\n  networks: [10.0.0.0/33]\n", 2, 14, '"10.0.0.0/33" is not a network', "10.0.0.0/33", ""),
    ("accept:\n  networks: [::1/128]\n", 2, 14, 'begins with ":" needs quotation marks', ":", 'write "::1/128"'),
    ("accept:\n  network: 10.0.0.0/8\n", 2, 3, '"network" is not a setting of accept', "network", '"networks"'),
    ("accept:\n  max_message: 25\n", 2, 16, '"max_message: 25" has no unit', "25", "25 MB or 25 kB"),
    ("accept:\n  max_message: none\n", 2, 16, '"none" is not a size', "none", "2 MB"),
    ("accept:\n  max_recipients: 0\n", 2, 19, "out of range", "0", "from 1 to"),
    ("accept:\n  max_recipients: many\n", 2, 19, "not a whole number", "many", "from 1 to"),
    ("accept:\n  max_connections_per_client: 600\n", 2, 31, "is more than", "600", "only one"),
    ("accept:\n  line_endings: fix\n", 2, 17, '"fix" is not a rule', "fix", "auto, refuse, repair"),
    ("accept: yes\n", 1, 9, '"yes" stands where the settings of accept', "yes", "networks: …"),
    ("inside: {port: 25}\n", 1, 9, '"host" is missing in inside', "{", "host: …"),
    # refused until built
    ("listen:\n  - address: 0.0.0.0:587\n    tls: starttls\n", 3, 10, "listen.tls is not built yet", "starttls", ""),
    ("listen:\n  - address: 0.0.0.0:587\n    auth: optional\n", 3, 11, "listen.auth is not built yet", "optional", ""),
    ("accept:\n  users: users.yaml\n", 2, 10, "accept.users is not built yet, and security", "users.yaml", ""),
    (
        "accept:\n  domains: [brno.example.net]\ninside: {host: mail.example}\n",
        2,
        3,
        "accept.domains is not built yet",
        "domains",
        "",
    ),
    (LINE + "    budget: 200 MB per month\n", 3, 13, "and money depends on it", "200 MB per month", "must not look"),
    (LINE + "    tariff: {per_minute: 0.05}\n", 3, 5, "links.tariff is not built yet", "tariff", ""),
    # links
    (LINE + "    kind: dailled\n", 3, 11, '"dailled" is not a kind of link', "dailled", 'Did you mean "dialled"?'),
    (
        LINE + "    kind: metered\n    probe: 60 s\n",
        4,
        12,
        '"probe" is for permanent links only',
        "60 s",
        "wake the line",
    ),
    (LINE + "    speed: 33.6\n", 3, 12, '"speed: 33.6" has no unit', "33.6", "33.6 kbit/s"),
    (LINE + "    speed: 33.6 kbps\n", 3, 17, '"kbps" is not a unit of speed', "kbps", "kbit/s"),
    (LINE + "    speed: 0 kbit/s\n", 3, 12, "is no speed", "0 kbit/s", ""),
    (LINE + "    relay: hq\n", 3, 12, 'there is no relay called "hq"', "hq", "No relays are defined"),
    (HQ + LINE + "    relay: hg\n", 6, 12, 'there is no relay called "hg"', "hg", 'Did you mean "hq"?'),
    (LINE + "  - name: dsl\n", 3, 11, 'two links called "dsl" (first on line 2)', "dsl", ""),
    (LINE + "    interface: dsl\n  - interface: dsl\n", 4, 5, 'two links called "dsl"', "i", ""),
    (LINE + "    interface: /dev/ppp\n", 3, 16, "is not the name of a network interface", "/dev/ppp", "eth0"),
    # relays
    (
        HQ + "    user: a\n    password: {credential: ../x}\n",
        5,
        28,
        "is not the name of a credential",
        "../x",
        "not a path",
    ),
    ("sources:\n  - {name: all, kind: etrn, host: a.example}\n", 2, 12, 'cannot be called "all"', "all", "fetch: all"),
    ("relays:\n  - name: hq\n", 2, 5, '"host" is missing in a relay', "n", "host: …"),
    ("relays:\n  - host: smtp.hq.example:587\n", 2, 11, "is not a host name", "smtp.hq.example:587", "port: 587"),
    ("relays:\n  - host: smtp://hq.example\n", 2, 11, "is not a host name", "smtp://hq.example", "bare name"),
    (HQ + "    port: 0\n", 4, 11, '"0" is not a port', "0", "1 to 65535"),
    (HQ + "    tls: starttls\n", 4, 10, '"starttls" is not a kind of TLS', "starttls", "required, opportunistic"),
    (HQ + "    tls: none\n    ca: ca.pem\n", 5, 9, '"ca" has no meaning with tls: none', "ca.pem", ""),
    (HQ + f"    tls: opportunistic\n    pin: {HEX}\n", 5, 10, '"pin" has no meaning with tls: opportunistic', HEX, ""),
    (HQ + f"    ca: ca.pem\n    pin: {HEX}\n", 5, 10, 'either "ca" or "pin"', HEX, ""),
    (HQ + "    pin: abcd\n", 4, 10, "is not the SHA-256 of a key", "abcd", "64 hexadecimal"),
    (HQ + "    user: brno\n", 4, 11, 'a "user" and no "password"', "brno", "password: {file: …}"),
    (HQ + "    password: {file: p}\n", 4, 5, 'a "password" and no "user"', "password", "user"),
    (
        HQ + "    user: brno\n    password: secret\n",
        5,
        5,
        "a password is never written in this file",
        "password",
        "{file:",
    ),
    (
        HQ + "    user: brno\n    password: {file: p, credential: q}\n",
        5,
        5,
        'either "file" or "credential"',
        "password",
        "",
    ),
    (HQ + "    user: brno\n    password: {}\n", 5, 5, 'either "file" or "credential"', "password", ""),
    (
        HQ + "    user: brno\n    password: {file: p}\n    tls: none\n",
        6,
        10,
        "a password travels only inside TLS",
        "none",
        "tls: required",
    ),
    (
        HQ + "    user: brno\n    password: {file: p}\n    tls: opportunistic\n",
        6,
        10,
        "a password travels only inside TLS",
        "opportunistic",
        "tls: required",
    ),
    (HQ + "  - name: hq\n    host: b.example\n", 4, 11, 'two relays called "hq" (first on line 2)', "hq", ""),
    # queue, classes, sources, console
    ("queue:\n  retrys: 5\n", 2, 3, '"retrys" is not a setting of queue', "retrys", "retry_"),
    ("queue:\n  retry_interval: 30\n", 2, 19, '"retry_interval: 30" has no unit', "30", "30 min or 30 s"),
    ("queue:\n  retry_interval: 0 s\n", 2, 19, "is too short", "0 s", "1 s"),
    ("queue:\n  retry_interval: 5 h\n", 2, 19, '"retry_ceiling" is shorter', "5 h", "4 h unless written"),
    ("queue:\n  retry_ceiling: 1 min\n", 2, 18, '"retry_ceiling" is shorter', "1 min", ""),
    ("queue:\n  max_attempts: 0\n", 2, 17, "out of range", "0", "from 1"),
    ("queue:\n  reserve: 95 %\n", 2, 12, "no room for mail", "95 %", "5 %"),
    ("queue:\n  reserve: 5\n", 2, 12, '"reserve: 5" has no unit', "5", "5 MB"),
    ("classes:\n  - {from: '*@x.example'}\n", 2, 5, '"class" is missing in a class rule', "{", ""),
    ("classes:\n  - {class: junk}\n", 2, 13, '"junk" is not a class', "junk", "urgent, normal, bulk"),
    (
        "classes:\n  - {class: bulk, to: list.example}\n",
        2,
        23,
        "is not an address or",
        "list.example",
        "*@list.example",
    ),
    ("classes:\n  - {class: bulk, to: [*@list.example]}\n", 2, 24, "needs quotation marks", "*", '"*@list.example"'),
    ("classes:\n  - {class: urgent, header: Importance}\n", 2, 29, "is not a header field", "Importance", "in quotes"),
    ("classes:\n  - {class: urgent, header: Importance: high}\n", 2, 39, "a colon", ":", "quotes"),
    (
        "sources:\n  - {kind: etrn, host: a.example, domains: '@b.example'}\n",
        2,
        45,
        "is not a domain",
        "@b.example",
        "b.ex",
    ),
    ("sources:\n  - {kind: smtp, host: a.example}\n", 2, 12, '"smtp" is not a kind of source', "smtp", "etrn"),
    ("console:\n  address: 0.0.0.0:8025\n", 2, 12, "needs tls", "0.0.0.0:8025", "127.0.0.1"),
    (
        "console:\n  address: 127.0.0.1:8025\n  tls: {certificate: c.pem}\n",
        3,
        8,
        '"key" is missing in tls',
        "{",
        "key: …",
    ),
    ("delivery: {online: mx}\n", 1, 20, '"mx" is not a way of delivery', "mx", "relay, direct"),
]


@pytest.fixture(autouse=True)
def _built(monkeypatch: pytest.MonkeyPatch) -> None:
    """How unbuilt keys are refused is tested apart from which keys are unbuilt today."""
    security, money = "security depends on it", "money depends on it"
    refused = {
        "listen.tls": (("none",), security),
        "listen.auth": (("none",), security),
        "accept.users": ((), security),
    }
    refused |= {"accept.domains": (("[]", "none"), security)}
    refused |= {f"links.{key}": ((), money) for key in ("dial", "budget", "tariff")}
    monkeypatch.setattr(built, "REFUSED", refused)


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "underlined", "hint"), ROWS, ids=[f"{r[3]}-{r[1]}" for r in ROWS]
)
def test_a_mistake_is_told_once_at_its_place(
    text: str, line: int, column: int, what: str, underlined: str, hint: str
) -> None:
    problems = gateway_problems(text)
    assert [(problem.line, problem.column) for problem in problems] == [(line, column)], problems
    assert what in problems[0].what
    assert hint in (problems[0].hint or "")
    assert marked(text, problems[0]) == underlined


def test_domains_without_inside_are_told_beside_what_is_refused() -> None:
    problems = gateway_problems("accept:\n  domains: a.example\n")
    assert [problem.what for problem in problems] == [
        "accept.domains is not built yet, and security depends on it: remove it",
        '"domains" needs "inside", the server that takes their mail',
    ]
