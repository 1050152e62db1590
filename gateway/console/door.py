"""Who is asking, and may they? Decides from the request's own words and what is known of passwords and sessions.

While no password is set, loopback needs no signing in, and any other address sees the set-up page alone (DESIGN section 11).
Nothing here reads X-Forwarded-For or its like (CASES W23).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.config.settings import Address
from gateway.console.accounts import Accounts, TooBusy
from gateway.console.sessions import Role, Session, SessionBook
from gateway.console.throttle import Throttle, is_loopback
from gateway.console.tokens import FormTokens, unmasks

CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Those that nobody mistakes for another when they read the code off a screen."""

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Who:
    """`session` is None for a program that signs each request, and for one on loopback while no password is set."""

    role: Role
    session: Session | None = None
    by_header: bool = False


class Wait(Exception):
    """Too many wrong passwords, or too many at once: come again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


class Door:
    """`address` is where the console listens; `names` are host names that are ours."""

    def __init__(
        self,
        address: Address,
        names: tuple[str, ...],
        *,
        has_tls: bool,
        clock: Clock,
        load_state: Callable[[str], bytes | None],
        told: Callable[[str], None],
    ) -> None:
        self.address, self.has_tls, self._clock, self._told = address, has_tls, clock, told
        self._is_loopback = is_loopback(address.host)
        self._names = {name.casefold().rstrip(".") for name in names} | {"localhost"}
        self.accounts = Accounts(load_state)
        self.sessions = SessionBook(clock)
        self.forms = FormTokens()
        self._throttle = Throttle()
        self.code: str | None = None if self.accounts.is_set else _new_code()
        self.cookie = "__Host-tidegate" if has_tls else "tidegate"

    # -- where a request is meant for and where it comes from ---------------------------------------------------

    def knows_host(self, host: str, local: str | None) -> bool:
        """Is this Host header one of ours? A name from outside that was made to point here is not (CASES W08)."""
        name = host_name(host)
        if name is None:
            return False
        try:
            literal = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        if literal.is_loopback and self._is_loopback:
            return True
        return local is not None and literal == ipaddress.ip_address(local.partition("%")[0])

    def is_forged(self, headers: Headers) -> bool:
        """Does the browser say that another site made this request?"""
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            return True
        origin = headers.get("origin")
        if origin is None:
            return False
        scheme = "https" if self.has_tls else "http"
        parts = urlsplit(origin)
        return parts.scheme != scheme or parts.netloc.casefold() != headers.get("host", "").casefold()

    # -- who ----------------------------------------------------------------------------------------------------

    async def who(self, headers: Headers, client: str) -> Who | None:
        """None: nobody that we know. Raises Wait."""
        session = self.session(headers)
        if session is not None:
            return Who(session.role, session)
        authorization = headers.get("authorization")
        if authorization is not None and self.accounts.is_set:
            return await self._by_header(authorization, client)
        if self.needs_no_password(client):
            return Who("operator")
        return None

    def needs_no_password(self, client: str) -> bool:
        return not self.accounts.is_set and self._is_loopback and is_loopback(client)

    def session(self, headers: Headers) -> Session | None:
        name = self.cookie_value(headers, self.cookie)
        return self.sessions.find(name, is_seen=not _is_by_itself(headers)) if name else None

    def cookie_value(self, headers: Headers, name: str) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(name)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""

    async def _by_header(self, authorization: str, client: str) -> Who | None:
        kind, _, value = authorization.partition(" ")
        if kind.casefold() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        role = self.accounts.remembered(name, password)
        if role is None and not self.accounts.is_known_wrong(name, password):
            role = await self.check(name, password, client)
            if role is not None:
                self.accounts.remember(name, password, role)
            else:
                self.accounts.remember_wrong(name, password)
        return None if role is None else Who(role, by_header=True)

    async def check(self, name: str, password: str, client: str) -> Role | None:
        """The role of this name and password. Failures are counted; raises Wait while the pause after them lasts."""
        wait = self._throttle.wait(name, client, self._clock.monotonic())
        if wait > 0:
            raise Wait(wait)
        try:
            role = await self.accounts.verify(name, password)
        except TooBusy:
            raise Wait(2.0) from None
        if role is None:
            self._throttle.failed(name, client, self._clock.monotonic())
            self._told(f"wrong password from {client}")
            return None
        self._throttle.succeeded(name, client)
        return role

    def may_change(self, who: Who, headers: Headers, in_form: str = "") -> bool:
        """Does this request to change something come from a page of ours, or from no browser at all (CASES W07)?"""
        if self.is_forged(headers):
            return False
        if who.session is not None:
            return unmasks(headers.get("x-token", "") or in_form, who.session.token)
        is_browser = "origin" in headers or "sec-fetch-site" in headers
        return who.by_header or not is_browser

    # -- set-up -------------------------------------------------------------------------------------------------

    @property
    def is_set_up(self) -> bool:
        return self.accounts.is_set

    def takes_code(self, code: str, client: str) -> bool:
        """Is this the one-time code that `serve` printed? Wrong ones cost time, too. Raises Wait."""
        now = self._clock.monotonic()
        wait = self._throttle.wait("set-up", client, now)
        if wait > 0:
            raise Wait(wait)
        given = "".join(letter for letter in code.upper() if letter.isalnum())
        is_right = self.code is not None and secrets.compare_digest(given.encode(), self.code.replace("-", "").encode())
        if not is_right:
            self._throttle.failed("set-up", client, now)
            self._told(f"wrong set-up code from {client}")
        return is_right

    def passwords_changed(self, role: str) -> None:
        """A password was set: the code is spent, and the role's sessions are over."""
        self.accounts.changed()
        if self.accounts.is_set:
            self.code = None
        self.sessions.end_role("viewer" if role == "viewer" else "operator")

    def close(self) -> None:
        self.sessions.end_all()
        self.accounts.close()


def _is_by_itself(headers: Headers) -> bool:
    """Did an open page ask this without a person at it? Then its session is no less idle (CASES W11)."""
    return "x-background" in headers or headers.get("accept") == "text/event-stream"


def host_name(host: str) -> str | None:
    """The name or address of a Host header, without the port; None for what is none."""
    if not host or len(host) > 300 or any(not 0x21 <= ord(c) <= 0x7E or c in "/\\@?#" for c in host):
        return None
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        return name if bracket and (not rest or (rest[1:].isdigit() and rest[0] == ":")) else None
    name, colon, port = host.partition(":")
    if colon and not port.isdigit():
        return None
    return name.casefold().rstrip(".") or None


def _new_code() -> str:
    letters = [secrets.choice(CODE_LETTERS) for _ in range(12)]
    return "-".join("".join(letters[at : at + 4]) for at in (0, 4, 8))
