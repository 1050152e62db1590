"""The language in which the keys of both files are declared, and the reader that follows such a declaration.

A `BlockTable` lists the keys of one block; each `Key` has a kind, which reads its value and tells its JSON Schema. From the
tables come parsing, the hints for unknown keys, the schemas and the sample file. What the values mean together (cross checks)
is `gateway_file`'s and `schedule_file`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway.config import built
from gateway.config.document import MAX_TOLD, Block, Listing, Node, Text
from gateway.config.hints import Misread, did_you_mean, printable, quoted
from gateway.config.problem import Problem
from gateway.config.scalars import MissingUnit
from gateway.config.settings import NotInForce

Schema = dict[str, Any]
Parse = Callable[[str], Any]

MAX_PIECES = 1000
"""A text with commas holds at most so many values."""


class Unread(Exception):
    """The value cannot be used; the problem is recorded already."""


@dataclass(slots=True)
class Reading:
    """What one pass over a file gathers. `damaged` and `patched`: see `Document`."""

    file: Path
    damaged: bool = False
    patched: frozenset[int] = frozenset()
    problems: list[Problem] = field(default_factory=list)
    not_in_force: list[NotInForce] = field(default_factory=list)
    places: dict[str, Text] = field(default_factory=dict)  # dotted key → where it is first written

    def wrong(self, at: Text | Node | Fields, what: str, hint: str | None = None) -> None:
        """Record a mistake, unless its line is broken already: one mistake of syntax is enough for a line."""
        if at.line in self.patched or len(self.problems) >= MAX_TOLD:
            return
        width = at.width if isinstance(at, Text) else 1
        self.problems.append(Problem(self.file, at.line, at.column, what, hint, width=width))

    def misread(self, at: Text, wrong: Misread) -> None:
        """Record a mistake within a text, at its piece."""
        self.wrong(at.piece(wrong.start, wrong.end), str(wrong), wrong.hint)

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


class Kind(Protocol):
    """How the value of a key is read."""

    def read(self, node: Node, key: Text, reading: Reading) -> Any:
        """The value; raises Unread after recording why there is none."""

    def schema(self) -> Schema:
        """JSON Schema of the value as an editor sees it."""


@dataclass(frozen=True, slots=True)
class Key:
    """`says` is its sentence, `default` as one would write it (or None), `sample` what the sample file shows."""

    name: str
    kind: Kind
    says: str
    default: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class BlockTable:
    """`called` completes "is not a setting of …"; `path` is the prefix by which `built` knows the keys."""

    called: str
    path: str
    keys: tuple[Key, ...]
    foreign: Mapping[str, str] = field(default_factory=dict)  # hints for words that people bring from elsewhere

    def names(self) -> list[str]:
        return [key.name for key in self.keys]

    def schema(self) -> Schema:
        properties = {}
        for key in self.keys:
            told = key.says + (f" Default: {key.default}." if key.default is not None else "")
            properties[key.name] = {"description": told} | key.kind.schema()
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [key.name for key in self.keys if key.required]
        return schema | ({"required": required} if required else {})


@dataclass(slots=True)
class Fields:
    """A block as read. `keys`: those written, readable or not; `values`: those that could be read."""

    line: int
    column: int
    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Text] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def only(self, **names: str) -> dict[str, Any]:
        """The values read, for the parameters `names` (parameter → key), leaving out what is not there."""
        return {parameter: self.values[name] for parameter, name in names.items() if name in self.values}

    def at(self, name: str) -> Text | Fields:
        """Where to point for this key: at its value if that is a text, else at the key, else at the block."""
        node = self.nodes.get(name)
        return node if isinstance(node, Text) and node.value else self.keys.get(name, self)

    def value_columns(self) -> dict[str, int]:
        """For each key written the column of its value; of the key itself where the value begins on another line."""
        return {
            name: self.nodes[name].column if self.nodes[name].line == key.line else key.column
            for name, key in self.keys.items()
        }

    def named(self, name: str, item: str) -> Text | Fields:
        """Where to point for one item of a list key: at the piece that says it, else as `at` does."""
        node = self.nodes.get(name)
        for entry in node.items if isinstance(node, Listing) else (node,):
            if isinstance(entry, Text):
                for piece in split(entry):
                    if piece.value == item:
                        return piece
        return self.at(name)


def read_block(node: Node, table: BlockTable, reading: Reading) -> Fields:
    """Read all keys that can be read; every mistake is recorded. Raises Unread if it is no block at all."""
    if not isinstance(node, Block):
        hint = f"write {table.keys[0].name}: …"
        reading.wrong(node, f"{_shown(node)} stands where the settings of {table.called} should", hint)
        raise Unread
    known = {key.name: key for key in table.keys}
    fields = Fields(node.line, node.column)
    for name, value in node.pairs:
        key = known.get(name.value)
        if key is None:
            _unknown(name, table, reading)
        elif name.value in fields.keys:
            first = fields.keys[name.value]
            what = f"{quoted(name.value)} is written twice in this block (first on line {first.line})"
            two = "for two stretches write open: 08:00-12:00, 13:00-18:00. " if name.value == "open" else ""
            reading.wrong(
                name, what, f"keep one of them{'; ' if two else '. '}{two}YAML itself would silently use the last."
            )
        else:
            fields.keys[name.value] = name
            fields.nodes[name.value] = value
            _read_key(key, name, value, table, reading, fields)
    for key in table.keys:
        if key.required and key.name not in fields.keys and not reading.damaged:
            reading.wrong(fields, f"{quoted(key.name)} is missing in {table.called}", f"write {key.name}: …")
    return fields


def _read_key(key: Key, name: Text, value: Node, table: BlockTable, reading: Reading, fields: Fields) -> None:
    dotted = f"{table.path}.{key.name}" if table.path else key.name
    is_beside = isinstance(value, Text) and value.line == name.line and bool(value.value)
    reading.places.setdefault(dotted, value if isinstance(value, Text) and is_beside else name)
    if isinstance(value, Text) and not value.value.strip():
        if not reading.damaged and not any(problem.line == value.line for problem in reading.problems):
            reading.wrong(name, f"{quoted(key.name)} has no value", "write one behind the colon, or remove the line.")
        return
    before = len(reading.problems)
    try:
        fields.values[key.name] = key.kind.read(value, name, reading)
    except Unread:
        return
    said = value.value if isinstance(value, Text) else "[]" if isinstance(value, Listing) and not value.items else None
    if dotted in built.REFUSED and said not in built.REFUSED[dotted][0] and len(reading.problems) == before:
        what = f"{dotted} is not built yet, and {built.REFUSED[dotted][1]}: remove it"
        reading.wrong(fields.at(key.name), what, "a key that is not obeyed must not look as if it were.")
    if dotted in built.NOT_IN_FORCE and said not in built.NOT_IN_FORCE[dotted]:
        reading.not_in_force.append(NotInForce(dotted.removeprefix("window."), reading.file, name.line))


def _unknown(name: Text, table: BlockTable, reading: Reading) -> None:
    hint = table.foreign.get(name.value)
    if hint is None:
        hint = f"{did_you_mean(name.value, table.names())}Settings here: {', '.join(table.names())}."
    reading.wrong(name, f"{quoted(name.value)} is not a setting of {table.called}", hint)


def _shown(node: Node) -> str:
    if isinstance(node, Text):
        return quoted(node.value)
    return "a list" if isinstance(node, Listing) else "a block of keys"


def parse_text_node(text: Text, parse: Parse, key: Text, reading: Reading) -> Any:
    """Parse one text; its mistake is recorded at its place."""
    try:
        return parse(text.value)
    except MissingUnit as wrong:
        reading.wrong(text, f'"{printable(f"{key.value}: {text.value}")}" has no unit', wrong.hint)
    except Misread as wrong:
        reading.misread(text, wrong)
    raise Unread


def split(text: Text) -> Iterator[Text]:
    """The pieces between commas, each stripped and with its place. What follows after the bound stays in one, and misreads."""
    offset = 0
    for raw in text.value.split(",", MAX_PIECES):
        start = offset + len(raw) - len(raw.lstrip())
        yield text.piece(start, start + len(raw.strip()))
        offset += len(raw) + 1


@dataclass(frozen=True, slots=True)
class One:
    """A single text."""

    parse: Parse
    told: Schema = field(default_factory=lambda: {"type": ["string", "number"]}, hash=False)

    def read(self, node: Node, key: Text, reading: Reading) -> Any:
        if isinstance(node, Text):
            return parse_text_node(node, self.parse, key, reading)
        reading.wrong(
            node, f"{_shown(node)} is not what {quoted(key.value)} asks for", "write one value on the same line."
        )
        raise Unread

    def schema(self) -> Schema:
        return self.told


@dataclass(frozen=True, slots=True)
class Many:
    """Several texts, as a YAML list or with commas; or one of `words` alone. A tuple of what `parse` makes."""

    parse: Parse
    told: Schema = field(default_factory=lambda: {"type": ["string", "number"]}, hash=False)
    words: Mapping[str, Any] = field(default_factory=dict, hash=False)
    has_commas: bool = True

    def read(self, node: Node, key: Text, reading: Reading) -> Any:
        alone = node.items[0] if isinstance(node, Listing) and len(node.items) == 1 else node
        if isinstance(alone, Text) and alone.value in self.words:
            return self.words[alone.value]
        if isinstance(node, Block):
            reading.wrong(node, f"a block of keys is not what {quoted(key.value)} asks for", "write a list: a, b, c.")
            raise Unread
        items: list[Any] = []
        failed = False
        for entry in node.items if isinstance(node, Listing) else (node,):
            try:
                items.extend(self._entry(entry, key, reading))
            except Unread:
                failed = True
        if failed:
            raise Unread
        return tuple(items)

    def _entry(self, entry: Node, key: Text, reading: Reading) -> Iterator[Any]:
        if not isinstance(entry, Text):
            reading.wrong(entry, f"{_shown(entry)} is not what {quoted(key.value)} asks for", "write a list: a, b, c.")
            raise Unread
        failed = False
        read = []
        for piece in split(entry) if self.has_commas else (entry,):
            try:
                read.append(self._piece(piece, key, reading))
            except Unread:
                failed = True
        if failed:
            raise Unread
        return iter(read)

    def _piece(self, piece: Text, key: Text, reading: Reading) -> Any:
        if not piece.value:
            reading.wrong(piece, "there is nothing here between the commas", "remove a comma.")
            raise Unread
        if piece.value in self.words:
            reading.wrong(
                piece, f"{quoted(piece.value)} stands alone, not in a list", f"write {key.value}: {piece.value}."
            )
            raise Unread
        return parse_text_node(piece, self.parse, key, reading)

    def schema(self) -> Schema:
        return {"anyOf": [self.told, {"type": "array", "items": self.told}]}


@dataclass(frozen=True, slots=True)
class Nested:
    """A block of its own keys, as Fields."""

    table: BlockTable
    instead_of_text: tuple[str, str] | None = None  # what to say, without repeating what is written

    def read(self, node: Node, key: Text, reading: Reading) -> Fields:
        if self.instead_of_text is not None and not isinstance(node, Block):
            reading.wrong(key, *self.instead_of_text)
            raise Unread
        return read_block(node, self.table, reading)

    def schema(self) -> Schema:
        return self.table.schema()


@dataclass(frozen=True, slots=True)
class Each:
    """A list of blocks, as a tuple of Fields (those that could be read at all)."""

    table: BlockTable

    def read(self, node: Node, key: Text, reading: Reading) -> tuple[Fields, ...]:
        if not isinstance(node, Listing):
            first = self.table.keys[0].name
            hint = f"each entry begins with a hyphen:  - {first}: …"
            reading.wrong(node, f"{quoted(key.value)} is a list, and this is {_shown(node)}", hint)
            raise Unread
        entries = []
        for item in node.items:
            try:
                entries.append(read_block(item, self.table, reading))
            except Unread:
                continue
        return tuple(entries)

    def schema(self) -> Schema:
        return {"type": "array", "items": self.table.schema()}
