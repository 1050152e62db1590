"""YAML as a tree of texts with their places: the only module that calls PyYAML, and only for its events.

Every scalar stays the text that the user wrote; no resolver runs. Tabs, tags, anchors, aliases and a second document are
mistakes here; depth, number of nodes and size are bounded. After a mistake of syntax the text is patched and read again, so
that all mistakes of a file come out at once. What a mistake is called is `gateway.config.syntax`'s; what a key means, others'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from gateway.config.hints import printable, quoted, without_secret
from gateway.config.problem import Problem
from gateway.config.syntax import explain

MAX_OCTETS = 1024 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 12
MAX_TOLD = 1000
"""So many mistakes of a file are told; whoever has more has enough to do."""
_MAX_INDENT = 8 * MAX_DEPTH
_MAX_SYNTAX_MISTAKES = 40
_MAX_REREAD = 4 * MAX_OCTETS
"""So many characters are read again at most, all times together: a large file that is all mistakes costs no more."""

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar. `exact`: offsets into `value` are offsets into the line of the file, so that a piece has a place."""

    value: str
    line: int
    column: int
    width: int
    exact: bool = True

    def piece(self, start: int, end: int | None) -> Text:
        """The part from `start` to `end`, with its own place where that is known."""
        end = len(self.value) if end is None else end
        if not self.exact:
            return replace(self, value=self.value[start:end])
        return Text(self.value[start:end], self.line, self.column + start, max(1, end - start))


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence."""

    items: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping, as pairs in the order of the file; keys may repeat."""

    pairs: tuple[tuple[Text, Node], ...]
    line: int
    column: int


Node = Text | Listing | Block


@dataclass(frozen=True, slots=True)
class Document:
    """What was read. `damaged`: lines were left out because of their syntax, so that what is missing proves nothing.

    `patched`: lines (from 1) that were read in spite of a mistake of syntax, which is told.
    """

    root: Node | None
    problems: tuple[Problem, ...]
    damaged: bool
    patched: frozenset[int] = frozenset()


class _TooMuch(Exception):
    """A bound was reached; the text and the place (line and column from 0)."""

    def __init__(self, what: str, line: int, column: int) -> None:
        super().__init__(what)
        self.line = line
        self.column = column


def normalized(text: str) -> str:
    """The text with one kind of line end and without a byte order mark: the lines that an editor counts."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_document(text: str, path: Path) -> Document:
    """Read one YAML document. Never raises: whatever is wrong is among the problems."""
    if len(text) > MAX_OCTETS:
        return Document(None, (Problem(path, 1, 1, "this file is larger than 1 MiB"),), True)
    lines, problems = _clean(normalized(text).split("\n"), path)
    indented = {number for number, line in enumerate(lines) if "\t" in line[: len(line) - len(line.lstrip())]}
    if not indented:
        document = _read(lines, {}, path)
    else:
        ways = [_expanded(lines, width) for width in (None, 2, 4, 8)]
        readings = [_read(straight, shifts, path) for straight, shifts in ways]
        document = next((reading for reading in readings if not reading.damaged), readings[0])
        if document.damaged:  # what the tabs meant is anybody's guess: say no more than that they are there
            document = replace(document, root=None, problems=())
    return replace(document, problems=tuple(problems) + document.problems)


def _clean(lines: list[str], path: Path) -> tuple[list[str], list[Problem]]:
    """Report tabs and characters that YAML forbids or counts as line ends; all but indenting tabs become spaces."""
    problems: list[Problem] = []
    cleaned: list[str] = []
    for number, line in enumerate(lines, start=1):
        if "\t" in line:
            if len(problems) < MAX_TOLD and (problem := _tab(line, number, path)) is not None:
                problems.append(problem)
            bare = line.lstrip(" \t")
            line = line[: len(line) - len(bare)] + bare.replace("\t", " ")
        bad = next((at for at, c in enumerate(line) if c != "\t" and not _is_allowed(c)), None)
        if bad is not None:
            if len(problems) < MAX_TOLD:
                what = f"the character {quoted(line[bad])} is not allowed here"
                problems.append(Problem(path, number, bad + 1, what, "remove it; it does not show in every editor."))
            line = "".join(c if c == "\t" or _is_allowed(c) else "_" for c in line)
        cleaned.append(line)
    return cleaned, problems


def _is_allowed(character: str) -> bool:
    point = ord(character)
    return point >= 0x20 and not 0x7F <= point < 0xA0 and not 0xD800 <= point < 0xE000 and point not in (
        0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF
    )  # fmt: skip


def _tab(line: str, number: int, path: Path) -> Problem | None:
    at = line.index("\t")
    if not line[:at].strip(" "):
        hint = "YAML allows only spaces here; replace the TAB by four spaces."
        return Problem(path, number, at + 1, "this line is indented with a TAB", hint)
    if re.match(r"(?:[^#'\"\t]|(?<=\S)#)*(?<!\S)#", line[:at]):
        return None  # within a comment
    return Problem(path, number, at + 1, "there is a TAB in this line", "write spaces instead.")


def _expanded(lines: Sequence[str], width: int | None) -> tuple[list[str], dict[int, int]]:
    """The lines with indenting tabs as `width` spaces (None: in line with the line above), and by how much each moved."""
    straight: list[str] = []
    shifts: dict[int, int] = {}
    above = dash = 0
    for number, line in enumerate(lines):
        bare = line.lstrip(" \t")
        lead = line[: len(line) - len(bare)]
        if "\t" in lead:
            indent = len(lead.replace("\t", " " * width)) if width else dash if bare.startswith("- ") else above
            indent = min(indent, _MAX_INDENT)
            shifts[number] = indent - len(lead)
            line = " " * indent + bare
        if bare and not bare.startswith("#"):
            dash = len(line) - len(bare)
            above = len(line) - len(bare.removeprefix("- ").lstrip())
            if bare.rstrip().endswith(":"):
                above = dash = above + 2
        straight.append(line)
    return straight, shifts


def _read(lines: list[str], shifts: dict[int, int], path: Path) -> Document:
    """Read, and after each mistake of syntax patch it and read again."""
    patched = list(lines)
    readings = max(1, min(_MAX_SYNTAX_MISTAKES, _MAX_REREAD // (sum(map(len, lines)) + 1)))
    problems: list[Problem] = []
    blanked: set[int] = set()
    touched: set[int] = set()
    while True:
        builder = _Builder(lines, touched, shifts, path)
        try:
            root = builder.build("\n".join(patched))
        except _TooMuch as wrong:
            problems.append(Problem(path, wrong.line + 1, wrong.column + 1, str(wrong)))
            return Document(None, tuple(problems), True)
        except yaml.YAMLError as wrong:
            mistake = explain(wrong, patched)
            follows = mistake.is_shape and _line_above(patched, lines, mistake.line) in blanked
            if not follows:
                column = max(1, mistake.column + 1 - shifts.get(mistake.line, 0))
                what, hint = printable(mistake.what), printable(mistake.hint) if mistake.hint else None
                if mistake.line < len(lines) and without_secret(lines[mistake.line]) != lines[mistake.line]:
                    what, hint = "this line cannot be read", "a password is never written in this file."
                problems.append(Problem(path, mistake.line + 1, column, what, hint, width=mistake.width))
            readings -= 1
            if readings <= 0 or not mistake.patch(patched):
                return Document(None, tuple(problems), True)
            changed = {number for number in range(mistake.line, mistake.last + 1) if number < len(lines)}
            (blanked if mistake.leaves_out else touched).update(changed)
        else:
            patched_lines = frozenset(number + 1 for number in touched)
            return Document(root, tuple(problems) + tuple(builder.problems), bool(blanked), patched_lines)


def _line_above(patched: Sequence[str], lines: Sequence[str], line: int) -> int:
    """The nearest line before that says something, as the file has it (patched or not)."""
    for number in range(min(line, len(patched)) - 1, -1, -1):
        bare = lines[number].strip()
        if bare and not bare.startswith("#"):
            return number
    return -1


@dataclass(frozen=True, slots=True)
class _Place:
    """Line and column from 0."""

    line: int
    column: int


def _place(mark: object) -> _Place:
    """A mark of either parser, whose classes have nothing in common but these."""
    return _Place(int(getattr(mark, "line", 0)), int(getattr(mark, "column", 0)))


@dataclass(slots=True)
class _Frame:
    """A collection not ended yet."""

    is_mapping: bool
    line: int
    column: int
    children: list[Node]


class _Builder:
    """Turns one run of events into a tree."""

    def __init__(self, lines: Sequence[str], touched: set[int], shifts: dict[int, int], path: Path) -> None:
        self.problems: list[Problem] = []
        self._lines = lines
        self._touched = touched
        self._shifts = shifts
        self._path = path

    def build(self, text: str) -> Node | None:
        root: Node | None = None
        stack: list[_Frame] = []
        documents = nodes = 0
        for event in yaml.parse(text, Loader=_Loader):
            done: Node | None = None
            mark = _place(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents == 2:
                    self._wrong(mark, "a second document begins here", "one file holds one document; remove the ---.")
                    return root
                continue
            if isinstance(event, yaml.NodeEvent):
                nodes += 1
                if nodes > MAX_NODES:
                    raise _TooMuch(f"this file holds more than {MAX_NODES} values", mark.line, mark.column)
                self._refuse_properties(event)
            if isinstance(event, yaml.ScalarEvent):
                done = self._text(event)
            elif isinstance(event, yaml.AliasEvent):
                done = Text("", mark.line + 1, self._column(mark), 1, exact=False)
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(stack) >= MAX_DEPTH:
                    raise _TooMuch("blocks are nested too deeply here", mark.line, mark.column)
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                stack.append(_Frame(is_mapping, mark.line + 1, self._column(mark), []))
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._ended(stack.pop())
            if done is None:
                continue
            if stack:
                stack[-1].children.append(done)
            else:
                root = done
        return root

    def _column(self, mark: _Place) -> int:
        return max(1, mark.column + 1 - self._shifts.get(mark.line, 0))

    def _wrong(self, mark: _Place, what: str, hint: str, width: int = 1) -> None:
        if len(self.problems) < MAX_TOLD:
            self.problems.append(Problem(self._path, mark.line + 1, self._column(mark), what, hint, width=width))

    def _refuse_properties(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent):
            name = f"*{printable(str(event.anchor))}"
            hint = f'write the value out; if the text begins with an asterisk, put it in quotes: "{name}".'
            self._wrong(_place(event.start_mark), f"an alias ({name}) is not allowed here", hint, len(name))
            return
        if event.anchor is not None:
            name = f"&{printable(event.anchor)}"
            hint = f'remove it; if the text begins with an ampersand, put it in quotes: "{name}".'
            self._wrong(_place(event.start_mark), f"an anchor ({name}) is not allowed here", hint, len(name))
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "remove it; if the text begins with an exclamation mark, put it in quotes."
            self._wrong(_place(event.start_mark), "a tag (!…) is not allowed here", hint)

    def _text(self, event: yaml.ScalarEvent) -> Text:
        start, end = _place(event.start_mark), _place(event.end_mark)
        column = self._column(start)
        line = self._lines[start.line] if start.line < len(self._lines) else ""
        if start.line != end.line or event.anchor is not None or event.tag is not None:
            return Text(event.value, start.line + 1, column, max(1, len(line.rstrip()) - start.column), exact=False)
        slice_ = line[start.column : end.column]
        if event.style in ("'", '"'):
            exact = slice_[1:-1] == event.value
            return Text(
                event.value, start.line + 1, column + exact, max(1, len(event.value) if exact else len(slice_)), exact
            )
        if start.line in self._touched:
            slice_ = slice_.rstrip()
            return Text(slice_, start.line + 1, column, max(1, len(slice_)))
        return Text(event.value, start.line + 1, column, max(1, len(event.value)), slice_ == event.value)

    def _ended(self, frame: _Frame) -> Node:
        if not frame.is_mapping:
            return Listing(tuple(frame.children), frame.line, frame.column)
        pairs: list[tuple[Text, Node]] = []
        for key, value in zip(frame.children[::2], frame.children[1::2], strict=True):
            if isinstance(key, Text):
                pairs.append((key, value))
            else:
                hint = "if the text begins with [ or {, put it in quotes."
                self.problems.append(Problem(self._path, key.line, key.column, "a key must be plain text", hint))
        return Block(tuple(pairs), frame.line, frame.column)
