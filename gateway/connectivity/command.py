"""A command of the user's, run without a shell and ended with its children.

It gets a session and a process group of its own. It is not reaped before its group is done with: as long as the leader is at
least a zombie, the kernel gives its number to nobody else, so that a signal to the group never meets a stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

MAX_WORDS = 500
"""Octets kept of what a command said last."""

_POLL = 0.05
_PIECE, _PIECES = 4096, 16
"""Octets of one read, and reads in one go: what a pipe holds. A command that never stops talking must not keep the loop."""

_WITHHELD = ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "JOURNAL_STREAM")


class CannotRun(Exception):
    """The command cannot be started; the text says why."""


class Command:
    """A running command. Its owner calls `end` (or, where its children are to live, `let_go`) exactly once."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._words = b""
        assert process.stdout is not None
        self._output: int | None = process.stdout.fileno()
        os.set_blocking(self._output, False)
        asyncio.get_running_loop().add_reader(self._output, self._hear)

    @classmethod
    def start(cls, words: Sequence[str], extra: Mapping[str, str]) -> Command:
        """Run it with our environment, but for what is between us and systemd, and `extra`. Raises CannotRun."""
        environ = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
        try:
            process = subprocess.Popen(
                tuple(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environ | dict(extra),
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as exc:
            raise CannotRun(f"{words[0]} cannot be run ({getattr(exc, 'strerror', None) or exc})") from exc
        return cls(process)

    @property
    def last_words(self) -> str:
        """The last line of its output that is not empty, for a person; as it came, so escape it where it is shown."""
        lines = [line.strip() for line in self._words.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        if self._process.returncode is not None:
            return self._process.returncode
        state = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status

    async def wait(self) -> int:
        """Until it has ended (its children may go on). Its exit code."""
        while (code := self.exit_code) is None:
            await self._until_it_may_have_ended()
        self._hear()
        return code

    async def _until_it_may_have_ended(self) -> None:
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except OSError:  # a kernel before 5.3
            await asyncio.sleep(_POLL)
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def end(self, patience: float) -> None:
        """End it and every process of its group: asked first, killed after `patience` seconds. Nothing of it is left then."""
        try:
            self._signal(signal.SIGTERM)
            async with asyncio.timeout(patience):
                while _members(self._process.pid):  # noqa: ASYNC110  # the kernel does not tell of grandchildren that end
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._close()
            # After a SIGKILL this is a matter of milliseconds; a process that hangs in the kernel is left to init.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)

    def let_go(self) -> None:
        """It has ended; whatever it left running in its group goes on."""
        self._close()
        if self.exit_code is not None:
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _hear(self) -> None:
        """Keep the end of what it says; what is not read would stop it."""
        if self._output is None:
            return
        try:
            for _ in range(_PIECES):
                part = os.read(self._output, _PIECE)
                if not part:
                    break
                self._words = (self._words + part)[-MAX_WORDS:]
            else:
                return  # there is more, or there will be: the loop comes back
        except BlockingIOError:
            return
        except OSError:
            pass
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            asyncio.get_running_loop().remove_reader(self._output)
            self._output = None
            assert self._process.stdout is not None
            self._process.stdout.close()


def _members(group: int) -> list[int]:
    """Living processes of the group."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # 1234 (name, which may hold anything) S 1 1234 …
            words = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(words[2]) == group and words[0] not in ("Z", "X"):
                found.append(int(folder.name))
    return found
