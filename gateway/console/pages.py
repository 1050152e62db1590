"""The pages: the console itself, signing in, setting up, and the queue to print. What strangers wrote is escaped by Jinja2, and
the page's own data is JSON that its script reads; there is no inline script."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.clock import Clock
from gateway.console.accounts import new_hash
from gateway.console.answers import packed, refusal
from gateway.console.api import standing
from gateway.console.arguments import Unfit, from_query
from gateway.console.ask import Ask
from gateway.console.calls import CALLS
from gateway.console.door import Door, Wait, Who
from gateway.console.files import StaticFiles
from gateway.console.metrics import CONTENT_TYPE, Counters, render
from gateway.console.sentence import size
from gateway.console.sessions import LONGEST, Role, Session
from gateway.console.tokens import masked, unmasks
from gateway.console.visible import visible
from gateway.control.console_rows import PageReport
from gateway.errors import GatewayError

ROWS = 100
PRINTED = 500
LONG = 2000
"""Messages from which the first page is made ready before anybody asks for it."""

FORM_COOKIE = "tidegate-form"
LONGEST_FORM = 8192
WRONG = "That name and password do not belong together."
YEAR = 31_536_000


class Pages:
    def __init__(self, door: Door, ask: Ask, clock: Clock, counters: Counters) -> None:
        self._door, self._ask, self._clock, self._counters = door, ask, clock, counters
        self._files = StaticFiles()
        self._templates = jinja2.Environment(
            loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._templates.filters["size"] = size
        self._templates.filters["visible"] = visible
        self._templates.filters["minute"] = _minute
        self._templates.globals["address"] = self._files.address

    async def warm(self) -> None:
        """With a long queue the first page is made, for nobody: templates are compiled, the queue is put in order, and counted
        from now on. With a short one the first page is soon made, and all that would only cost memory while nobody looks."""
        with contextlib.suppress(GatewayError):
            if (await self._ask.one("page", limit=1)).messages > LONG:
                await self._console_page(Who("viewer"), None, "queue")

    def routes(self) -> list[Route]:
        return [
            *(Route(path, self.app, methods=["GET"]) for path in ("/", "/schedule", "/sessions")),
            Route("/print", self.printed, methods=["GET"]),
            Route("/signin", self.sign_in, methods=["GET", "POST"]),
            Route("/signout", self.sign_out, methods=["POST"]),
            Route("/setup", self.set_up, methods=["GET", "POST"]),
            Route("/static/{name}", self.static, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    # -- the console --------------------------------------------------------------------------------------------

    async def app(self, request: Request) -> Response:
        who: Who = request.state.who
        cookie: str | None = None
        session = who.session
        if session is None and not who.by_header:
            cookie, session = self._door.sessions.begin(who.role, is_open=True)
        body = await self._console_page(who, session, request.url.path.strip("/") or "queue")
        response = packed(request, body, "text/html")
        if cookie is not None:
            self._set_cookie(response, cookie)
        return response

    async def _console_page(self, who: Who, session: Session | None, view: str) -> bytes:
        overview = await self._ask.one("overview")
        page: PageReport | None = None
        if view == "queue":
            page = await self._ask.one("page", limit=ROWS)
        boot = {
            "token": masked(session.token) if session is not None else "",
            "role": who.role,
            "is_open": session is None or session.is_open,
            "view": view,
            "standing": standing(overview),
            "page": None if page is None else _shown(page),
        }
        return self._rendered("app.html", hostname=overview.hostname, boot=_as_script(boot), who=who, view=view)

    async def printed(self, request: Request) -> Response:
        """The queue as a plain page: for paper, and for browsers without scripts."""
        try:
            arguments = from_query(CALLS[2].query[:5], request.query_params.multi_items())
            page = await self._ask.one("page", **arguments, limit=PRINTED)
        except (Unfit, GatewayError) as exc:
            return refusal(HTTPStatus.BAD_REQUEST, str(exc))
        overview = await self._ask.one("overview")
        return self._page(request, "print.html", overview=overview, sentence=standing(overview).sentence, page=page)

    # -- signing in ---------------------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Response:
        if not self._door.is_set_up:
            return RedirectResponse("/setup", HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return self._form(request, "signin.html", "")
        form = await self._filled(request)
        if form is None:
            return self._form(request, "signin.html", "This form was too old. Try again.", HTTPStatus.FORBIDDEN)
        client = request.state.client
        try:
            role = await self._door.check(form.get("name", ""), form.get("password", ""), client)
        except Wait as exc:
            text = f"Too many wrong passwords. Try again in {max(1, round(exc.seconds))} s."
            return self._form(request, "signin.html", text, HTTPStatus.TOO_MANY_REQUESTS)
        if role is None:
            return self._form(request, "signin.html", WRONG, HTTPStatus.UNAUTHORIZED)
        return self._enter(request, role)

    async def sign_out(self, request: Request) -> Response:
        """Every session of the role ends, and its open pages with it."""
        session = self._door.session(request.headers)
        form = await self._read_form(request)
        if session is None or not unmasks(form.get("token", ""), session.token):
            return refusal(HTTPStatus.FORBIDDEN, "this request did not come from a page of ours; load it again")
        self._door.sessions.end_role(session.role)
        response = RedirectResponse("/signin" if self._door.is_set_up else "/", HTTPStatus.SEE_OTHER)
        response.delete_cookie(self._door.cookie, path="/", secure=self._door.has_tls, httponly=True, samesite="strict")
        return response

    async def set_up(self, request: Request) -> Response:
        """Takes the one-time code and the first password; dead once there is one (CASES W16)."""
        if self._door.is_set_up:
            if request.method == "POST":
                return refusal(HTTPStatus.GONE, "a password is set: the code is spent")
            return RedirectResponse("/signin", HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return self._form(request, "setup.html", "")
        form = await self._filled(request)
        if form is None:
            return self._form(request, "setup.html", "This form was too old. Try again.", HTTPStatus.FORBIDDEN)
        try:
            if not self._door.takes_code(form.get("code", ""), request.state.client):
                text = "That is not the code. The gateway printed it when it started."
                return self._form(request, "setup.html", text, HTTPStatus.UNAUTHORIZED)
            stored = await new_hash(form.get("password", ""))
        except Wait as exc:
            text = f"Too many wrong codes. Try again in {max(1, round(exc.seconds))} s."
            return self._form(request, "setup.html", text, HTTPStatus.TOO_MANY_REQUESTS)
        except ValueError as exc:
            return self._form(request, "setup.html", f"{str(exc).capitalize()}.", HTTPStatus.BAD_REQUEST)
        if self._door.code is None:  # somebody was quicker while the hash was made
            return refusal(HTTPStatus.GONE, "a password is set: the code is spent")
        await self._ask.one("console password", role="operator", hash=stored)
        return self._enter(request, "operator")

    def _enter(self, request: Request, role: Role) -> Response:
        """A new session under a new name; the one that the browser had is over (CASES W10)."""
        old = self._door.session(request.headers)
        if old is not None:
            self._door.sessions.end(old)
        name, _ = self._door.sessions.begin(role)
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        self._set_cookie(response, name)
        return response

    def _set_cookie(self, response: Response, name: str) -> None:
        response.set_cookie(
            self._door.cookie,
            name,
            max_age=int(LONGEST),
            path="/",
            secure=self._door.has_tls,
            httponly=True,
            samesite="strict",
        )

    def _form(self, request: Request, template: str, problem: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        token = self._door.forms.make(self._clock.monotonic())
        response = self._page(request, template, status, problem=problem, form_token=token)
        response.set_cookie(FORM_COOKIE, token, path="/", secure=self._door.has_tls, httponly=True, samesite="strict")
        return response

    async def _filled(self, request: Request) -> dict[str, str] | None:
        """The form's fields; None if it is not one that we gave this browser a while ago."""
        form = await self._read_form(request)
        in_cookie = self._door.cookie_value(request.headers, FORM_COOKIE)
        return form if self._door.forms.accepts(form.get("form", ""), in_cookie, self._clock.monotonic()) else None

    async def _read_form(self, request: Request) -> dict[str, str]:
        body = await request.body()
        if len(body) > LONGEST_FORM:
            return {}
        try:
            return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
        except ValueError:
            return {}

    # -- for machines -------------------------------------------------------------------------------------------

    async def static(self, request: Request) -> Response:
        file = self._files.by_name.get(request.path_params["name"])
        if file is None:
            return refusal(HTTPStatus.NOT_FOUND, "no such file")
        is_named = request.query_params.get("v") == file.version
        headers = {
            "cache-control": f"public, max-age={YEAR}, immutable" if is_named else "no-cache",
            "vary": "accept-encoding",
        }
        body = file.octets
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = file.packed, "gzip"
        return Response(body, headers=headers, media_type=file.media_type)

    async def healthz(self, request: Request) -> Response:
        del request
        return Response("alive\n", media_type="text/plain")

    async def readyz(self, request: Request) -> Response:
        del request
        try:
            problems: list[str] = (await self._ask.one("ready"))["problems"]
        except GatewayError as exc:
            problems = [str(exc)]
        text = "\n".join(problems) or "ready"
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return Response(text + "\n", status, media_type="text/plain")

    async def metrics(self, request: Request) -> Response:
        text = render(await self._ask.one("overview"), self._counters)
        return packed(request, text.encode(), CONTENT_TYPE)

    def _page(self, request: Request, name: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        return packed(request, self._rendered(name, **values), "text/html", status)

    def _rendered(self, name: str, **values: Any) -> bytes:
        return self._templates.get_template(name).render(**values).encode("utf-8", "replace")


def _shown(page: PageReport) -> dict[str, Any]:
    """What the table shows of a page: a hundred rows are most of what the first page weighs."""
    shown: dict[str, Any] = msgspec.to_builtins(page)
    for row in shown["rows"]:
        del row["class"], row["attempts"]
    return shown


def _template(name: str) -> str:
    return (files("gateway.console") / "templates" / name).read_text("utf-8")


def _as_script(value: object) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    text = msgspec.json.encode(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


__all__ = ["Pages"]


def _minute(instant: str) -> str:
    """`2026-11-24 19:06`, of an instant in the schedule's zone as the desk writes it."""
    return instant[:16].replace("T", " ")
