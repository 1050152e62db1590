"""A real gateway in a process of its own, over a spool in a temporary folder, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds that a condition may take on a busy machine before a test fails."""


def eventually(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of `condition`, asked again until then; an AssertionError that says `what` if it never comes."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)


class Gateway:
    """`with Gateway(folder, "mode: offline") as gateway:`; the settings are added to a listener on a free port.

    `log`: lines of standard error so far. `kill` is a power cut as far as the program is concerned.
    """

    def __init__(self, folder: Path, settings: str = "", schedule: str | None = None, *, plain: bool = False) -> None:
        """`plain`: without the checks that tests want and that cost memory and time."""
        self.folder = folder
        self._checks = () if plain else ("-W", "error")
        self.config = folder / "gateway.yaml"
        self.spool = folder / "spool"
        self.log: list[str] = []
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if schedule is not None:
            (folder / "schedule.yaml").write_text(schedule)
            settings += "\nschedule: schedule.yaml\n"
        text = f"hostname: gw.branch.example\nspool: {self.spool}\nlisten:\n  - address: 127.0.0.1:0\n{settings}\n"
        self.config.write_text(text)

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait for its line `ready`."""
        command = [sys.executable, *self._checks, "-m", "gateway", "serve", "-c", str(self.config)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        if not ready.startswith("ready "):
            self._process.wait(PATIENCE)
            self._reader.join(PATIENCE)
            raise AssertionError(f"no ready line but {ready!r}; log:\n" + "\n".join(self.log))
        self.port = int(ready.split()[1].rpartition(":")[2])

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line.rstrip("\n"))

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing more is written."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            code = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert self._reader is not None
            self._reader.join(PATIENCE)
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            process.stderr.close()
        return code

    # -- talking to it ------------------------------------------------------------------------------------------

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command as a user types it."""
        command = [sys.executable, "-m", "gateway", *words, "-c", str(self.config)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)

    def json(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines that a command answers; it must succeed."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def queue(self, *words: str) -> list[dict[str, Any]]:
        return self.json("queue", *words)

    def hand_in(
        self, octets: bytes, *to: str, sender: str = "anna@branch.example", options: tuple[str, ...] = ()
    ) -> str:
        """One message over SMTP; its ID, from the 250."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="pc.branch.example", timeout=60) as client:
            client.ehlo()
            client.mail(sender, options)
            for recipient in to or ("ops@hq.example",):
                code, text = client.rcpt(recipient)
                assert code == 250, text
            code, reply = client.data(octets)
            assert code == 250, reply
            return reply.decode().split("queued as ")[1].split()[0].rstrip(";,")

    def logged(self, *parts: str) -> list[str]:
        """Log lines that contain all parts."""
        return [line for line in self.log if all(part in line for part in parts)]


def letter(subject: str = "Hello", body: str = "One line.\r\n") -> bytes:
    """A small message with CRLF line ends."""
    return f"From: <anna@branch.example>\r\nTo: <ops@hq.example>\r\nSubject: {subject}\r\n\r\n{body}".encode()
