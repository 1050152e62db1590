"""Every key of `gateway.yaml`, declared (DESIGN section 4). No logic: what they mean together is `gateway_file`'s."""

from __future__ import annotations

import re
import shlex
from functools import partial

from gateway.config.hints import Misread, quoted
from gateway.config.hosts import (
    parse_domain,
    parse_header,
    parse_host,
    parse_hostname,
    parse_network,
    parse_pattern,
    parse_pin,
    parse_port,
)
from gateway.config.keys import BlockTable, Each, Key, Many, Nested, One, Schema
from gateway.config.scalars import (
    parse_address,
    parse_choice,
    parse_duration,
    parse_none_or,
    parse_number,
    parse_rate,
    parse_reserve,
    parse_size,
    parse_text,
)
from gateway.config.times import parse_budget
from gateway.mail.envelope import CLASSES

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
NUMBER_OR_NONE: Schema = {"anyOf": [{"type": "integer"}, {"const": "none"}]}
SIZE: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)? ?(B|kB|KB|MB|GB|TB|kb|mb|gb|tb)$"}
DURATION: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)? ?[a-z]+$"}


def _choice(what: str, *choices: str) -> One:
    return One(partial(parse_choice, choices=choices, what=what), {"enum": list(choices)})


def _name() -> One:
    return One(partial(parse_text, most=64), TEXT)


def _interface(text: str) -> str:
    if not re.fullmatch(r"[^\s/]{1,15}", text) or not text.isprintable():
        raise Misread(f"{quoted(text)} is not the name of a network interface", "write it like eth0; or default.")
    return text


def _credential(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,254}", text):
        raise Misread(f"{quoted(text)} is not the name of a credential", "letters, digits, and . _ - @; not a path.")
    return text


def _positive(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 1:
        raise Misread(f"{quoted(text)} is too short", "at least 1 s.")
    return seconds


def _some_octets(text: str) -> int:
    octets = parse_size(text)
    if octets < 1:
        raise Misread(f"{quoted(text)} would let nothing pass", "write it like 25 MB.")
    return octets


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(parse_text(text, most=1000)))
    except ValueError as wrong:
        if isinstance(wrong, Misread):
            raise
        raise Misread(f"{quoted(text)} is not a command line", "a quotation mark is not closed.") from None
    if not words:
        raise Misread(f"{quoted(text)} is not a command line")
    return words


def _per_day(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9}) per day", text.strip())
    if found is None:
        raise Misread(f"{quoted(text)} is not a number of calls", "write it like 40 per day.")
    return parse_number(found[1], 1, 100_000)


def _money(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise Misread(f"{quoted(text)} is not a price", "a number with a decimal point, like 0.05.")
    return float(text)


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", text):
        raise Misread(f"{quoted(text)} is not a language", "write its code, like en.")
    return text


def _count(least: int, most: int) -> One:
    return One(partial(parse_number, least=least, most=most), NUMBER)


def _count_or_none(least: int, most: int) -> One:
    return One(parse_none_or(partial(parse_number, least=least, most=most)), NUMBER_OR_NONE)


PATH = One(partial(parse_text, most=4096), TEXT)
NETWORKS = Many(parse_network, TEXT)
PORT = One(parse_port, NUMBER)

CERTIFICATE = BlockTable(
    "tls",
    "tls",
    (
        Key("certificate", PATH, "PEM file with the certificate chain.", required=True),
        Key("key", PATH, "PEM file with the private key.", required=True),
    ),
)
LISTEN = BlockTable(
    "a listener",
    "listen",
    (
        Key("address", One(parse_address, TEXT), "IP address and port to listen on.", required=True),
        Key("tls", _choice("a kind of TLS", "none", "starttls", "implicit"), "TLS on this listener.", "none"),
        Key("auth", _choice("a rule for signing in", "none", "optional", "required"), "Signing in.", "none"),
        Key("networks", NETWORKS, "Who may connect at all.", "everybody"),
    ),
    {"port": "it is a part of the address: 0.0.0.0:25."},
)
ACCEPT = BlockTable(
    "accept",
    "accept",
    (
        Key("networks", NETWORKS, "Who may send anywhere without signing in.", '[127.0.0.0/8, "::1/128"]'),
        Key("users", PATH, "File of users, made by `tidegate user add`."),
        Key("senders", _choice("a rule for senders", "any", "own"), "Whose addresses signed-in users may use.", "any"),
        Key(
            "domains",
            Many(parse_domain, TEXT, {"none": ()}),
            "Recipients' domains taken from anybody, for `inside`.",
            "none",
        ),
        Key("max_message", One(_some_octets, SIZE), "Largest message taken.", "25 MB"),
        Key("max_recipients", _count(1, 100_000), "Most recipients of a message.", "1000"),
        Key("max_connections", _count(1, 100_000), "Most connections at once.", "500"),
        Key("max_connections_per_client", _count(1, 100_000), "Most connections at once of one client.", "50"),
        Key("max_messages_per_client", _count_or_none(1, 10**9), "Most messages of one client in an hour.", "none"),
        Key(
            "line_endings",
            _choice("a rule for line endings", "auto", "refuse", "repair"),
            "Bare CR or LF, NUL: auto repairs what listed networks and signed-in users send and refuses strangers.",
            "auto",
        ),
    ),
)
INSIDE = BlockTable(
    "inside",
    "inside",
    (
        Key("host", One(parse_host, TEXT), "The mail server inside.", required=True),
        Key("port", PORT, "Its port.", "25"),
    ),
)
DIAL = BlockTable(
    "dial",
    "links.dial",
    (
        Key("up", One(_command, TEXT), "Command that raises the link.", required=True),
        Key("down", One(_command, TEXT), "Command that puts it down.", required=True),
        Key("within", One(_positive, DURATION), "How long raising may take.", "90 s"),
        Key("at_most", One(_per_day, TEXT), "Most calls a day."),
    ),
)
TARIFF = BlockTable(
    "tariff",
    "links.tariff",
    (
        Key("per_minute", One(_money, {"type": "number"}), "Price of a minute."),
        Key("per_mb", One(_money, {"type": "number"}), "Price of a megabyte."),
        Key("rounding", One(_positive, DURATION), "What a call is rounded up to.", "60 s"),
    ),
)
LINK = BlockTable(
    "a link",
    "links",
    (
        Key("name", _name(), "Its name in log, commands and schedule; that of its interface if left out."),
        Key("interface", One(_interface, TEXT), "Network interface, or default for the default route.", "default"),
        Key("kind", _choice("a kind of link", "permanent", "metered", "dialled"), "What using it means.", "permanent"),
        Key(
            "probe",
            One(parse_none_or(_positive), DURATION | {"pattern": r"^none$|" + DURATION["pattern"]}),
            "How often to connect to the relay while idle; only on permanent links.",
            "60 s if declared permanent, else none",
        ),
        Key("dial", Nested(DIAL), "How a dialled link is raised and put down."),
        Key("speed", One(parse_rate, TEXT), "First guess of its speed; measured from then on."),
        Key("budget", One(parse_budget, TEXT), "Octets allowed per session, day, week or month."),
        Key("tariff", Nested(TARIFF), "What using it costs."),
        Key("relay", _name(), "Relay to use on this link."),
    ),
)
PASSWORD = BlockTable(
    "password",
    "relays.password",
    (
        Key("file", PATH, "File that holds the password and nothing else, mode 0600."),
        Key("credential", One(_credential, TEXT), "Name of a systemd credential."),
    ),
)
RELAY = BlockTable(
    "a relay",
    "relays",
    (
        Key("name", _name(), "Its name in log, commands and schedule; that of its host if left out."),
        Key("host", One(parse_host, TEXT), "Host name or IP address.", required=True),
        Key("port", PORT, "Its port.", "25, or 465 with implicit"),
        Key(
            "tls",
            _choice("a kind of TLS", "required", "opportunistic", "none", "implicit"),
            "TLS towards this relay; required fails closed.",
            "required",
        ),
        Key("ca", PATH, "PEM file of the authority to trust instead of the system's."),
        Key("pin", One(parse_pin, TEXT), "SHA-256 of the key to trust instead of any authority."),
        Key("user", One(partial(parse_text, most=255), TEXT), "User to sign in as."),
        Key(
            "password",
            Nested(
                PASSWORD,
                ("a password is never written in this file", "write password: {file: hq.password}, mode 0600."),
            ),
            "Where the password rests: {file: …} or {credential: …}.",
        ),
    ),
)
DELIVERY = BlockTable(
    "delivery",
    "delivery",
    (Key("online", _choice("a way of delivery", "relay", "direct"), "How mail leaves Online.", "relay"),),
)
QUEUE = BlockTable(
    "queue",
    "queue",
    (
        Key("retry_interval", One(_positive, DURATION), "Online, after a temporary failure; doubles.", "30 min"),
        Key("retry_ceiling", One(_positive, DURATION), "What the retry interval doubles up to.", "4 h"),
        Key("max_attempts", _count_or_none(1, 100_000), "Most real attempts.", "none"),
        Key("warn_after", One(_positive, DURATION), "Lateness after which the sender is told.", "4 h"),
        Key("give_up_after", One(_positive, DURATION), "Opportunity after which a message ends.", "5 days"),
        Key("reserve", One(parse_reserve, TEXT), "Share of the disk, or a size, kept free.", "5 %"),
    ),
)
CLASS_RULE = BlockTable(
    "a class rule",
    "classes",
    (
        Key("class", _choice("a class", *CLASSES), "The class of what matches.", required=True),
        Key("from", Many(parse_pattern, TEXT), "Senders' addresses, * matches any text."),
        Key("to", Many(parse_pattern, TEXT), "Recipients' addresses, * matches any text."),
        Key("header", One(parse_header, TEXT), 'A field and a text to find in it: "Importance: high".'),
    ),
)
SOURCE = BlockTable(
    "a source",
    "sources",
    (
        Key("name", _name(), "Its name in log, commands and schedule; that of its host if left out."),
        Key("kind", _choice("a kind of source", "etrn", "atrn", "pop3", "imap"), "How mail is pulled.", required=True),
        Key("host", One(parse_host, TEXT), "Host name or IP address.", required=True),
        Key("domains", Many(parse_domain, TEXT), "Domains to ask for."),
    ),
)
CONSOLE = BlockTable(
    "console",
    "console",
    (
        Key("address", One(parse_none_or(parse_address), TEXT), "IP address and port of the console.", "none"),
        Key("tls", Nested(CERTIFICATE), "Certificate; needed on any address but loopback."),
    ),
)
GATEWAY = BlockTable(
    "gateway.yaml",
    "",
    (
        Key("hostname", One(parse_hostname, TEXT), "Said in EHLO, Received and reports.", "the machine's name"),
        Key("spool", PATH, "Folder of the queue and all state.", "./spool"),
        Key("schedule", PATH, "The schedule file, relative to this file; without one there are no windows."),
        Key("mode", _choice("a mode", "auto", "online", "offline", "stopped"), "When mail leaves.", "auto"),
        Key("listen", Each(LISTEN), "Where mail is taken.", "127.0.0.1:2525"),
        Key("tls", Nested(CERTIFICATE), "Certificate of the listeners."),
        Key("accept", Nested(ACCEPT), "Who may hand us what."),
        Key("inside", Nested(INSIDE), "Takes mail for accept.domains; needed if there are any."),
        Key(
            "links",
            Each(LINK),
            "Lines to the world, in order of preference.",
            "one permanent link on the default route",
        ),
        Key("relays", Each(RELAY), "Smarthosts, in order."),
        Key("delivery", Nested(DELIVERY), "How mail leaves."),
        Key("queue", Nested(QUEUE), "Retry, lateness, giving up, disk."),
        Key("classes", Each(CLASS_RULE), "Rules that give a message its class; first match wins.", "all is normal"),
        Key("sources", Each(SOURCE), "Where inbound mail is pulled from."),
        Key("console", Nested(CONSOLE), "The web console."),
        Key("report_language", One(_language, TEXT), "Language of reports.", "en"),
    ),
    {
        "timezone": "it belongs in the schedule file.",
        "windows": "it belongs in the schedule file.",
        "exceptions": "it belongs in the schedule file.",
        "smarthost": "it is called relays here: a list, each with name and host.",
        "relay": "it is called relays here: a list, each with name and host.",
    },
)
