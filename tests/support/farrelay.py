"""A relay in a process of its own, for the far namespace: takes everything, and prints a JSON line a command with its time.

A message that came whole is one more line, `TAKEN` with its subject, printed before its 250 is sent.

python -m tests.support.farrelay ADDRESS PORT
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import sys
import threading
import time

_telling = threading.Lock()


def tell(**said: str) -> None:
    """One line, whole also where two connections speak at once."""
    with _telling:
        sys.stdout.write(json.dumps({"at": time.time(), **said}) + "\n")
        sys.stdout.flush()


class Talk(socketserver.StreamRequestHandler):
    """Plain SMTP without extensions."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a connection that only asks whether there is one is reset
            self._talk()

    def _talk(self) -> None:
        self.wfile.write(b"220 hq.example ESMTP\r\n")
        while line := self.rfile.readline(2000):
            verb = line[:4].decode("ascii", "replace").strip().upper()
            tell(verb=verb)
            match verb:
                case "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    subject = ""
                    while (line := self.rfile.readline(2000)) not in (b".\r\n", b""):
                        if line.startswith(b"Subject: "):
                            subject = line[9:].decode("ascii", "replace").strip()
                    if not line:
                        return
                    tell(verb="TAKEN", subject=subject)
                    self.wfile.write(b"250 2.0.0 taken\r\n")
                case "QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 2.0.0 ok\r\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server((sys.argv[1], int(sys.argv[2])), Talk) as server:
        tell(verb="ready")
        server.serve_forever()
