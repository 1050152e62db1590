"""The files of the pages: read once, compressed once, named by what they hold, so that browsers keep them."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

SCRIPTS = (
    "dom.js",
    "words.js",
    "net.js",
    "strip.js",
    "table.js",
    "drawer.js",
    "dialogs.js",
    "live.js",
    "main.js",
)
"""In the order in which they build on each other; served as one file."""

PLAN_SCRIPTS = ("week.js", "schedule.js")
"""Of the schedule and the sessions; a page that shows the queue alone goes without them."""

TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    octets: bytes
    packed: bytes
    media_type: str
    version: str


class StaticFiles:
    """By name; `address(name)` is what a page writes."""

    def __init__(self) -> None:
        self._folder: Traversable = files("gateway.console") / "static"

    @cached_property
    def by_name(self) -> dict[str, StaticFile]:
        texts = {"app.js": self._joined(SCRIPTS), "plan.js": self._joined(PLAN_SCRIPTS)}
        texts |= {
            name: _short((self._folder / name).read_text("utf-8")) for name in ("theme.js", "style.css", "icon.svg")
        }
        texts["style.css"] = _tight(texts["style.css"])
        return {name: _made(name, text.encode()) for name, text in texts.items()}

    def _joined(self, names: tuple[str, ...]) -> str:
        """Both files are plain scripts of one page: what one declares at its top, the other sees."""
        return '"use strict";\n' + "\n".join(_short((self._folder / name).read_text("utf-8")) for name in names) + "\n"

    def address(self, name: str) -> str:
        return f"/static/{name}?v={self.by_name[name].version}"


def _short(text: str) -> str:
    """Without indentation, empty lines and lines of comment: what a browser need not read."""
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/* -")))


def _tight(style: str) -> str:
    """A style sheet without the spaces that only people want."""
    return re.sub(r" ?([{};]) ?|(,) ", r"\1\2", style)


def _made(name: str, octets: bytes) -> StaticFile:
    version = hashlib.sha256(octets).hexdigest()[:12]
    return StaticFile(octets, gzip.compress(octets, 9, mtime=0), TYPES[name.rpartition(".")[2]], version)
