"""One emulated line of the laboratory `linklab`: namespaces `branch-NAME` (10.77.0.1) and `hq-NAME` (10.77.0.2)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


class LinkLab:
    """`folder`: the laboratory's, from `labs.require`. Who says `up` says `down` in the end."""

    def __init__(self, folder: Path, name: str) -> None:
        self._program = folder / "linklab"
        self.name = name

    def ask(self, verb: str, *words: str) -> str:
        """One command of it, and what it prints."""
        command = [self._program, verb, "--name", self.name, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def stats(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ask("stats"))
        return told

    def offered(self) -> int:
        """Packets that the branch has put on the line."""
        return int(self.stats()["up"]["offered"]["packets"])
