"""One message over SMTP to the gateway on this machine, for a program whose user may not write into the spool. No asyncio.

All recipients are taken or none: whoever called can then mend the one address and call again.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence

from gateway.errors import Exit, GatewayError

TIMEOUT = 300.0
CONNECT_TIMEOUT = 10.0
MAX_LINE = 4096
MAX_LINES = 200
GROUP = 100
"""Recipients in one write; their answers are read before more is said, so that neither side waits for the other for ever."""


class Unreachable(GatewayError):
    """Nobody answers there, or not as a mail server would."""

    exit_code = Exit.TEMP_FAIL


class RefusedNow(GatewayError):
    """The gateway asks to come again."""

    exit_code = Exit.TEMP_FAIL


class Refused(GatewayError):
    """The gateway will not take this, now or later."""

    def __init__(self, text: str, *, policy: bool) -> None:
        super().__init__(text)
        self.exit_code = Exit.NO_PERM if policy else Exit.DATA


class Dialogue:
    """An open connection; the greeting has been read. Raises Unreachable."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._where = f"{address[0]}:{address[1]}"
        try:
            self._socket = socket.create_connection(address, CONNECT_TIMEOUT)
        except OSError as exc:
            raise Unreachable(f"nobody answers at {self._where} ({exc.strerror or exc})") from exc
        self._socket.settimeout(TIMEOUT)
        self._lines = self._socket.makefile("rb")
        try:
            self._expect("2")
        except GatewayError:
            self.close()
            raise

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def hand_in(
        self,
        content: bytes,
        *,
        hostname: str,
        reverse_path: str,
        recipients: Sequence[Mapping[str, str]],
        parameters: Sequence[str],
    ) -> str:
        """Send it; the reply to its final dot, which is a promise. `parameters`: MAIL's.

        Raises Refused, RefusedNow, Unreachable; after the last of these the gateway may have it all the same.
        """
        self._say(f"EHLO {hostname}")
        self._expect("2")
        self._say(" ".join((f"MAIL FROM:<{reverse_path}>", f"SIZE={len(content)}", *parameters)))
        self._expect("2")
        for start in range(0, len(recipients), GROUP):
            group = recipients[start : start + GROUP]
            self._say(*(_rcpt(recipient) for recipient in group))
            for recipient in group:
                self._expect("2", recipient["address"])
        self._say("DATA")
        self._expect("3")
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        self._send(stuffed + b".\r\n")
        reply = self._expect("2")
        with contextlib.suppress(Unreachable):  # it has said 250, which is all that counts
            self._say("QUIT")
        return reply

    def _say(self, *lines: str) -> None:
        self._send("".join(line + "\r\n" for line in lines).encode())

    def _send(self, octets: bytes) -> None:
        try:
            self._socket.sendall(octets)
        except OSError as exc:
            raise Unreachable(f"the gateway at {self._where} hung up") from exc

    def _expect(self, digit: str, about: str = "") -> str:
        """The next reply's text. Raises Refused or RefusedNow unless it begins with `digit`."""
        text = ""
        for _ in range(MAX_LINES):
            try:
                line = self._lines.readline(MAX_LINE)
            except OSError as exc:
                raise Unreachable(f"the gateway at {self._where} stopped answering") from exc
            if not line.endswith(b"\n") or not line[:3].isdigit():
                raise Unreachable(f"what answers at {self._where} is no mail server, or it hung up")
            text = line.decode("ascii", "replace").strip()
            if text[3:4] != "-":
                break
        if text.startswith(digit):
            return text
        told = f"{about}: {text}" if about else text
        if text.startswith("5"):
            raise Refused(told, policy=text[4:7] == "5.7")
        raise RefusedNow(told)


def _rcpt(recipient: Mapping[str, str]) -> str:
    line = f"RCPT TO:<{recipient['address']}>"
    return f"{line} NOTIFY={recipient['notify']}" if "notify" in recipient else line
