"""Somebody at a control socket who says the same to whatever is asked: a gateway with an empty queue, or no gateway at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """While the context lasts, each request at `path` gets `answer` and the connection ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                peer, _ = listener.accept()
                with peer:
                    if not peer.recv(4096):
                        return  # asked nothing: the context ends
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            thread.join(10)
