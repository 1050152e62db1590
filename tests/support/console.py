"""A gateway with its console, and a client that speaks HTTP like a browser: cookies, the page's token, its own Origin."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.gateway import Gateway

PASSWORD = "correct horse battery"


class ConsoleGateway(Gateway):
    """`notice` is what `serve` printed of the console; `console_port` and `code` are read from it."""

    def __init__(
        self, folder: Path, settings: str = "", schedule: str | None = None, console: str = "", *, plain: bool = False
    ) -> None:
        block = console or "console: {address: 127.0.0.1:0}\n"
        super().__init__(folder, block + settings, schedule, plain=plain)
        self.notice = ""
        self.console_port = 0
        self.code: str | None = None

    def start(self) -> None:
        super().start()
        assert self._process is not None
        assert self._process.stdout is not None
        self.notice = self._process.stdout.readline()
        found = re.search(r":(\d+)/", self.notice)
        assert found is not None, (self.notice, self.log)
        self.console_port = int(found[1])
        code = re.search(r"code for it is (\S+)", self.notice)
        self.code = code[1] if code is not None else None

    def set_password(self, role: str = "operator", password: str = PASSWORD) -> None:
        """As an operator does it on the command line."""
        command = [sys.executable, "-m", "gateway", "console", "password", role, "-c", str(self.config)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        done = subprocess.run(command, input=password + "\n", capture_output=True, text=True, env=environ, timeout=60)
        assert done.returncode == 0, done.stderr

    def __enter__(self) -> ConsoleGateway:
        super().__enter__()
        return self

    def browser(self, **options: Any) -> Browser:
        return Browser(self.console_port, **options)


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Keeps cookies; a page that it loads gives it the token that its scripts would send."""

    def __init__(self, port: int, host: str = "localhost", tls: ssl.SSLContext | None = None) -> None:
        self.port, self.tls = port, tls
        self.host = f"{host}:{port}"
        self.cookies: dict[str, str] = {}
        self.token = ""

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, own: bool = True
    ) -> Answer:
        """`own`: say that one of our own pages asks, as a browser does."""
        sent = {"Host": self.host}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if own:
            sent |= {"Sec-Fetch-Site": "same-origin"}
            if method != "GET":
                sent |= {"Origin": self.origin, "X-Token": self.token}
        sent |= headers or {}
        if self.tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        else:
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.tls)
        try:
            connection.request(method, path, body, {k: v for k, v in sent.items() if v})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        for line in answer.headers.get_all("set-cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def load(self, path: str = "/") -> Answer:
        """Load a page, and keep its token."""
        answer = self.get(path)
        found = re.search(r'"token":"([^"]*)"', answer.text)
        if found is not None:
            self.token = found[1]
        return answer

    def post(self, path: str, value: Any, method: str = "POST", headers: dict[str, str] | None = None) -> Answer:
        """One of the API's commands."""
        body = json.dumps(value).encode()
        return self.ask(method, "/api/v1" + path, body, {"Content-Type": "application/json", **(headers or {})})

    def submit(self, path: str, **fields: str) -> Answer:
        """Load a form and send it in, filled."""
        page = self.get(path)
        found = re.search(r'name="form" value="([^"]*)"', page.text)
        body = urlencode({**({"form": found[1]} if found else {}), **fields}).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def sign_in(self, name: str = "operator", password: str = PASSWORD) -> Answer:
        answer = self.submit("/signin", name=name, password=password)
        if answer.status == 303:
            self.load()
        return answer

    def events(self) -> Events:
        return Events(self)


class Events:
    """The stream of events, read as it comes."""

    def __init__(self, browser: Browser, headers: dict[str, str] | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", browser.port), timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        sent = {"Host": browser.host, "Cookie": cookies, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
        self._socket.sendall(f"GET /api/v1/events HTTP/1.1\r\n{lines}\r\n".encode())
        self._octets = b""
        try:
            while b"\r\n\r\n" not in self._octets:
                self._more()
        except (EOFError, OSError):
            self._socket.close()
            raise
        head, _, self._octets = self._octets.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])

    def _more(self) -> None:
        octets = self._socket.recv(65536)
        if not octets:
            raise EOFError
        self._octets += octets

    def wait_for(self, name: str, patience: float = 10.0) -> Any:
        """The data of the next event of that name."""
        end = time.monotonic() + patience
        wanted = b"event: " + name.encode() + b"\ndata: "
        while True:
            at = self._octets.find(wanted)
            if at >= 0 and (ends := self._octets.find(b"\n\n", at)) >= 0:
                data, self._octets = self._octets[at + len(wanted) : ends], self._octets[ends + 2 :]
                return json.loads(re.sub(rb"\r\n[0-9a-f]+\r\n", b"", data))
            assert time.monotonic() < end, f"no event {name}"
            self._socket.settimeout(max(0.1, end - time.monotonic()))
            self._more()

    def is_closed(self, patience: float = 10.0) -> bool:
        """Does the server close it within that time?"""
        end = time.monotonic() + patience
        try:
            while time.monotonic() < end:
                self._socket.settimeout(max(0.1, end - time.monotonic()))
                self._more()
        except EOFError:
            return True
        except TimeoutError:
            return False
        finally:
            self._socket.close()
        return False

    def close(self) -> None:
        self._socket.close()


def raw(port: int, octets: bytes, patience: float = 15.0) -> bytes:
    """What the server answers to these octets before it closes or falls silent for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(octets)
        got = b""
        try:
            while True:
                more = connection.recv(65536)
                if not more:
                    return got
                got += more
                if b"\r\n\r\n" in got and b"connection: close" not in got.lower():
                    connection.settimeout(0.3)
        except (TimeoutError, ConnectionResetError):
            return got
