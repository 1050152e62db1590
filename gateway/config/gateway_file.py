"""`gateway.yaml` from text to `Settings`: what its keys mean together. Reads no file and asks no network."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.config import gateway_keys
from gateway.config.brief import machine_name
from gateway.config.document import read_document
from gateway.config.hints import did_you_mean, printable, quoted
from gateway.config.keys import Fields, Reading, Unread, read_block
from gateway.config.problem import Problem
from gateway.config.settings import (
    AcceptSettings,
    CertificateSettings,
    ClassRule,
    ConsoleSettings,
    DialSettings,
    InsideSettings,
    LinkSettings,
    ListenSettings,
    PasswordSource,
    QueueSettings,
    RelaySettings,
    Settings,
    SourceSettings,
    TariffSettings,
)

PROBE_DEFAULT = 60.0
"""Seconds between probes on links that are declared permanent."""


def default_settings() -> Settings:
    """What holds where no gateway.yaml is found."""
    return Settings(path=None, hostname=machine_name(), spool=Path("spool").absolute())


def read_settings(
    text: str, path: Path, check_schedule: Callable[[Path], str | None] | None = None
) -> tuple[Settings | None, list[Problem]]:
    """The settings (None if there are errors) and all mistakes, by line. Relative paths count from the file's folder.

    `check_schedule`: tells why the schedule file cannot be read, None if it can; without it nobody looks.
    """
    document = read_document(text, path)
    reading = Reading(path, document.damaged, document.patched, list(document.problems))
    settings: Settings | None = None
    if document.root is None:
        if not reading.has_errors:
            settings = replace(default_settings(), path=path, spool=path.absolute().parent / "spool")
        return settings, reading.problems
    try:
        top = read_block(document.root, gateway_keys.GATEWAY, reading)
    except Unread:
        return None, reading.problems
    settings = _Builder(reading, path.absolute().parent).settings(top)
    if check_schedule is not None and "schedule" in top.values:
        schedule = path.absolute().parent / top.get("schedule")
        why = check_schedule(schedule)
        if why is not None:
            hint = f"looked for {printable(str(schedule))}; the path counts from the folder of gateway.yaml."
            reading.wrong(top.at("schedule"), f"the schedule file cannot be read: {why}", hint)
    reading.problems.sort(key=lambda problem: (problem.line, problem.column))
    return (None if reading.has_errors else settings), reading.problems


class _Builder:
    """Makes the dataclasses and checks what no single key can tell."""

    def __init__(self, reading: Reading, folder: Path) -> None:
        self._reading = reading
        self._folder = folder

    def settings(self, top: Fields) -> Settings:
        given: dict[str, Any] = top.only(hostname="hostname", mode="mode", report_language="report_language")
        if "listen" in top.values:
            given["listen"] = self._listen(top.get("listen"))
        if "links" in top.values:
            given["links"] = self._links(top.get("links"))
        relays = self._relays(top.get("relays", ()))
        if "delivery" in top.values:
            given |= self._delivery(top.get("delivery"))
        accept = self._accept(top.get("accept"))
        inside = self._inside(top.get("inside"))
        if accept.domains and "inside" not in top.keys:
            hint = "write inside: {host: …} with the server that takes this mail."
            self._wrong(
                top.get("accept"), "domains", '"domains" needs "inside", the server that takes their mail', hint
            )
        self._check_relays_of_links(top, relays)
        self._check_listeners(top)
        return Settings(
            path=self._reading.file,
            hostname=given.pop("hostname", None) or machine_name(),
            spool=self._path(top.get("spool", "spool")),
            schedule=self._path(top.get("schedule")) if "schedule" in top.values else None,
            certificate=self._certificate(top.get("tls")),
            accept=accept,
            inside=inside,
            relays=relays,
            queue=self._queue(top.get("queue")),
            classes=tuple(self._class_rule(rule) for rule in top.get("classes", ()) if "class" in rule.values),
            sources=self._sources(top.get("sources", ())),
            console=self._console(top.get("console")),
            not_in_force=tuple(self._reading.not_in_force),
            key_lines=tuple((key, place.line) for key, place in self._reading.places.items()),
            **given,
        )

    def _wrong(self, fields: Fields, key: str, what: str, hint: str | None = None) -> None:
        self._reading.wrong(fields.at(key), what, hint)

    def _path(self, text: str) -> Path:
        return self._folder / text

    def _unique(self, entries: Iterable[Fields], names: Sequence[str], called: str) -> None:
        seen: dict[str, int] = {}
        for entry, name in zip(entries, names, strict=True):
            if name and name in seen:
                what = f"there are two {called} called {quoted(name)} (first on line {seen[name]})"
                self._wrong(entry, "name", what, "give each a name of its own.")
            seen.setdefault(name, entry.line)

    def _listen(self, entries: Sequence[Fields]) -> tuple[ListenSettings, ...]:
        listeners = []
        seen: dict[object, int] = {}
        for entry in entries:
            address = entry.get("address")
            if address is None:
                continue
            if address in seen and address.port != 0:
                self._wrong(entry, "address", f"{address} is listened on twice (first on line {seen[address]})")
            seen.setdefault(address, entry.line)
            given = entry.only(tls="tls", auth="auth", networks="networks")
            listeners.append(ListenSettings(address, line=entry.line, **given))
        return tuple(listeners)

    def _check_listeners(self, top: Fields) -> None:
        """A listener promises nothing that the rest of the file does not provide."""
        accept = top.get("accept")
        for entry in top.get("listen", ()):
            tls, auth = entry.get("tls", "none"), entry.get("auth", "none")
            if tls != "none" and "tls" not in top.keys:
                hint = "write tls: {certificate: …, key: …} beside listen."
                self._wrong_if_first(entry, "tls", f'"tls: {tls}" needs a certificate', hint)
            if auth == "none":
                continue
            if tls == "none":
                hint = "write tls: starttls, or tls: implicit."
                self._wrong_if_first(entry, "auth", "a password travels only inside TLS, and tls is none here", hint)
            elif accept is None or "users" not in accept.keys:
                hint = "write users: users.yaml in accept, and make it with: tidegate user add NAME."
                self._wrong_if_first(entry, "auth", f'"auth: {auth}" needs users', hint)

    def _wrong_if_first(self, fields: Fields, key: str, what: str, hint: str) -> None:
        if all(problem.line != fields.at(key).line for problem in self._reading.problems):
            self._wrong(fields, key, what, hint)

    def _certificate(self, block: Fields | None) -> CertificateSettings | None:
        if block is None or not {"certificate", "key"} <= block.values.keys():
            return None
        return CertificateSettings(self._path(block.get("certificate")), self._path(block.get("key")), block.line)

    def _delivery(self, block: Fields) -> dict[str, Any]:
        if block.values.get("online") == "direct" and find_spec("dns") is None:
            hint = "install it beside the gateway: pip install '/path/to/tidegate[direct]'; or write online: relay."
            self._wrong(block, "online", '"online: direct" needs dnspython, which is not installed', hint)
        return block.only(delivery_online="online")

    def _accept(self, block: Fields | None) -> AcceptSettings:
        if block is None:
            return AcceptSettings()
        plain = [name for name in gateway_keys.ACCEPT.names() if name != "users"]
        given = block.only(**{name: name for name in plain})
        if "users" in block.values:
            given["users"] = self._path(block.get("users"))
        accept = AcceptSettings(**given)
        if accept.max_connections_per_client > accept.max_connections and "max_connections_per_client" in block.keys:
            what = f'"max_connections_per_client" is more than "max_connections" ({accept.max_connections})'
            self._wrong(block, "max_connections_per_client", what, "one client would be the only one.")
        return accept

    def _inside(self, block: Fields | None) -> InsideSettings | None:
        if block is None or "host" not in block.values:
            return None
        return InsideSettings(block.get("host"), block.get("port", 25))

    def _links(self, entries: Sequence[Fields]) -> tuple[LinkSettings, ...]:
        links = []
        for entry in entries:
            given = entry.only(interface="interface", kind="kind", speed="speed", budget="budget", relay="relay")
            kind = entry.get("kind", "permanent")
            probe = entry.get("probe")
            if probe is not None and kind != "permanent":
                what = f'"probe" is for permanent links only, and this one is {kind}'
                self._wrong(entry, "probe", what, "a probe would wake the line; remove it, or write probe: none.")
            if "probe" not in entry.keys and entry.get("kind") == "permanent":
                probe = PROBE_DEFAULT
            if "dial" in entry.keys and kind != "dialled":
                self._wrong(
                    entry, "dial", f'"dial" is for dialled links only, and this one is {kind}', "write kind: dialled."
                )
            name = entry.get("name") or entry.get("interface", "default")
            dial, tariff = self._dial(entry.get("dial")), self._tariff(entry.get("tariff"))
            said = "kind" in entry.keys or probe is not None  # who wants probes says that they cost nothing
            links.append(
                LinkSettings(
                    name=name, probe=probe, dial=dial, tariff=tariff, line=entry.line, is_kind_said=said, **given
                )
            )
        self._unique(entries, [link.name for link in links], "links")
        return tuple(links)

    def _dial(self, block: Fields | None) -> DialSettings | None:
        if block is None or not {"up", "down"} <= block.values.keys():
            return None
        return DialSettings(block.get("up"), block.get("down"), **block.only(within="within", at_most="at_most"))

    def _tariff(self, block: Fields | None) -> TariffSettings | None:
        if block is None:
            return None
        return TariffSettings(**block.only(per_minute="per_minute", per_mb="per_mb", rounding="rounding"))

    def _relays(self, entries: Sequence[Fields]) -> tuple[RelaySettings, ...]:
        relays = [self._relay(entry) for entry in entries]
        self._unique(entries, [relay.name for relay in relays], "relays")
        return tuple(relays)

    def _relay(self, entry: Fields) -> RelaySettings:
        tls = entry.get("tls", "required")
        if "ca" in entry.keys and "pin" in entry.keys:
            self._wrong(entry, "pin", 'a relay has either "ca" or "pin", not both', "remove one of them.")
        for key in ("ca", "pin"):
            if key in entry.keys and tls in (
                "none",
                "opportunistic",
            ):  # the latter sends without it where none is offered
                self._wrong(entry, key, f'"{key}" has no meaning with tls: {tls}', "write tls: required, or remove it.")
        host = entry.get("host", "")
        if entry.get("name", "").startswith("direct:"):
            what = "a relay cannot be called direct: and something"
            self._wrong(entry, "name", what, "so the ways to domains are called in the log (delivery.online: direct).")
        return RelaySettings(
            name=entry.get("name") or host,
            host=host,
            port=entry.get("port", 465 if tls == "implicit" else 25),
            tls=tls,
            ca=self._path(entry.get("ca")) if "ca" in entry.values else None,
            pin=entry.get("pin"),
            user=entry.get("user"),
            password=self._password(entry, tls),
            line=entry.line,
        )

    def _password(self, entry: Fields, tls: str) -> PasswordSource | None:
        if "user" in entry.keys and "password" not in entry.keys:
            hint = "add password: {file: …} or password: {credential: …}."
            self._wrong(entry, "user", 'this relay has a "user" and no "password"', hint)
        if "password" in entry.keys and "user" not in entry.keys:
            self._wrong(entry, "password", 'this relay has a "password" and no "user"', "add user: …")
        if {"user", "password"} & entry.keys.keys() and tls in ("none", "opportunistic"):
            key = "tls"
            hint = "write tls: required or tls: implicit, or remove user and password."
            self._wrong(entry, key, f"a password travels only inside TLS, and tls is {tls} here", hint)
        block = entry.get("password")
        if block is None:
            return None
        if len(block.keys) != 1:
            self._wrong(entry, "password", 'a password has either "file" or "credential"', "write one of the two.")
        if "file" in block.values:
            return PasswordSource(file=self._path(block.get("file")))
        if "credential" in block.values:
            return PasswordSource(credential=block.get("credential"))
        return None

    def _check_relays_of_links(self, top: Fields, relays: Sequence[RelaySettings]) -> None:
        names = [relay.name for relay in relays]
        for entry in top.get("links", ()):
            relay = entry.get("relay")
            if relay is not None and relay not in names:
                self._wrong(entry, "relay", f"there is no relay called {quoted(relay)}", known(relay, names, "relays"))

    def _queue(self, block: Fields | None) -> QueueSettings:
        if block is None:
            return QueueSettings()
        queue = QueueSettings(**block.only(**{name: name for name in gateway_keys.QUEUE.names()}))
        if queue.retry_ceiling < queue.retry_interval:
            key = "retry_ceiling" if "retry_ceiling" in block.keys else "retry_interval"
            hint = "the interval doubles up to the ceiling; the ceiling is 4 h unless written."
            self._wrong(block, key, '"retry_ceiling" is shorter than "retry_interval"', hint)
        return queue

    def _class_rule(self, rule: Fields) -> ClassRule:
        given = rule.only(senders="from", recipients="to", header="header")
        return ClassRule(rule.get("class"), line=rule.line, **given)

    def _sources(self, entries: Sequence[Fields]) -> tuple[SourceSettings, ...]:
        sources = []
        for entry in entries:
            kind, host = entry.get("kind", ""), entry.get("host", "")
            if entry.get("name") in ("all", "none"):
                what = f"a source cannot be called {quoted(entry.get('name'))}"
                self._wrong(entry, "name", what, "fetch: all and fetch: none have a meaning of their own.")
            sources.append(SourceSettings(entry.get("name") or host, kind, host, entry.get("domains", ()), entry.line))
        self._unique(entries, [source.name for source in sources], "sources")
        return tuple(sources)

    def _console(self, block: Fields | None) -> ConsoleSettings | None:
        address = block.get("address") if block is not None else None
        if block is None or address is None:
            return None
        if "tls" not in block.keys and not ipaddress.ip_address(address.host).is_loopback:
            hint = "add tls: {certificate: …, key: …}, or listen on 127.0.0.1 or [::1]."
            self._wrong(block, "address", f"the console on {address} needs tls, since others can reach it", hint)
        return ConsoleSettings(address, self._certificate(block.get("tls")), block.line)


def known(word: str, names: Sequence[str], called: str) -> str:
    """The hint for a name that is not defined in gateway.yaml."""
    if not names:
        return f"No {called} are defined in gateway.yaml."
    return f"{did_you_mean(word, names)}Defined in gateway.yaml: {', '.join(names)}."
