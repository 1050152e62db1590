"""A mistake or a warning in a file of the configuration, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` and `column` count from 1, columns in characters. `width`: how many characters the caret underlines."""

    file: Path
    line: int
    column: int
    what: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    width: int = 1

    @property
    def head(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.what}"
