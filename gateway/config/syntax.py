"""What a mistake in YAML's syntax is called in plain words, where it really is, and how to read on past it.

The texts of libyaml and of PyYAML's own parser differ; both are known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml

_KEY = re.compile(r"\s*(?:- +)?(?P<key>[^\s:#'\"\[{-][^:#'\"\[{]*):(?=\s|$)")
_GLUED = re.compile(r"\s*(?:- +)?(?P<key>[a-z_]+):(?P<value>\S.*)$")
_INDICATORS = frozenset(":,?-*&!|>%@`\"'#")
_IN_LINE = "lines of one block begin in the same column."


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; `line`, `last` and `column` count from 0.

    With `instead` the character at the column is replaced by it, to read on; else the lines up to `last` are left out.
    `is_shape`: about how lines stand to each other, and so perhaps the consequence of a line left out before.
    """

    line: int
    column: int
    what: str
    hint: str | None = None
    width: int = 1
    instead: str | None = None
    last: int = -1
    is_shape: bool = False

    @property
    def leaves_out(self) -> bool:
        return self.instead is None

    def patch(self, lines: list[str]) -> bool:
        """Change the lines so that reading gets further; False if nothing is left to change."""
        changed = False
        for number in range(self.line, min(self.last, len(lines) - 1) + 1):
            line = lines[number]
            if self.instead is not None and self.column < len(line):
                lines[number] = line[: self.column] + self.instead + line[self.column + 1 :]
            else:
                lines[number] = ""
            changed = changed or lines[number] != line
        return changed


def explain(wrong: yaml.YAMLError, lines: Sequence[str]) -> Mistake:
    """Find the mistake behind an error of the parser's, in the lines that it read."""
    mark = getattr(wrong, "problem_mark", None) or getattr(wrong, "context_mark", None)
    if mark is None:
        return Mistake(0, 0, "this file cannot be read as YAML", str(wrong)[:200], last=len(lines))
    line, column = _within(lines, mark.line, mark.column)
    context_mark = getattr(wrong, "context_mark", None)
    origin = _within(lines, context_mark.line, context_mark.column) if context_mark is not None else (line, column)
    problem, context = str(getattr(wrong, "problem", "") or ""), str(getattr(wrong, "context", "") or "")
    mistake = _name(lines, (line, column), origin, problem, context)
    return mistake if mistake.last >= 0 else replace(mistake, last=mistake.line)


def _within(lines: Sequence[str], line: int, column: int) -> tuple[int, int]:
    """The place, or the end of the last line that says anything, if the parser points behind the text."""
    if line < len(lines) and lines[line].strip():
        return line, min(column, len(lines[line].rstrip()) - 1)
    for number in range(min(line, len(lines) - 1), -1, -1):
        if lines[number].strip():
            return number, max(0, len(lines[number].rstrip()) - 1)
    return 0, 0


def _name(lines: Sequence[str], place: tuple[int, int], origin: tuple[int, int], problem: str, context: str) -> Mistake:
    line, column = place
    here = lines[line] if line < len(lines) else ""
    character = here[column] if column < len(here) else ""
    if "nesting depth" in problem:
        return Mistake(line, column, "blocks are nested too deeply here")
    if "mapping values are not allowed" in problem:
        return _stray_colon(lines, line, column)
    if "could not find expected ':'" in problem:
        return _no_key(lines, *origin)
    if "cannot start any token" in problem:
        return _needs_quotes(here, line, column)
    if "scanning an alias" in context or "scanning an anchor" in context:
        return _needs_quotes(lines[origin[0]], *origin)
    if "quoted scalar" in context and "end of" in problem:
        hint = "a text that begins with a quotation mark ends with one, on the same line."
        return Mistake(*origin, "this quotation mark is not closed", hint)
    if "escape" in problem or ("quoted scalar" in context and "hexadecimal" in problem):
        hint = "in double quotes a backslash begins an escape; use single quotes, or double the backslash."
        return Mistake(line, column, "this is not an escape that YAML knows", hint, last=max(line, origin[0]))
    if "flow" in context and "',' or" in problem and character == ":" and line == origin[0]:
        hint = "put the text in quotes; or a comma is missing before the next key."
        return Mistake(line, column, "there is a colon inside a text here", hint, instead="_")
    if "flow" in context and ("',' or" in problem or line > origin[0]):
        opening = lines[origin[0]][origin[1] : origin[1] + 1]
        closing = {"[": "]", "{": "}"}.get(opening)
        if closing is not None:
            last = line - 1 if line > origin[0] and ":" in here else line
            hint = f"close it with {closing}; between two items stands a comma."
            return Mistake(*origin, f'this "{opening}" is not closed', hint, last=max(last, origin[0]))
    if "block scalar" in context:
        return _needs_quotes(lines[origin[0]], *origin)
    if "node content" in problem and character in ("[", "{"):
        closing = {"[": "]", "{": "}"}[character]
        return Mistake(line, column, f'this "{character}" is not closed', f"close it with {closing}.")
    if "node content" in problem and character in ("]", "}"):
        return Mistake(line, column, f'there is a "{character}" here that closes nothing', "remove it.", instead="_")
    if ("node content" in problem or "mapping keys are not" in problem) and character in _INDICATORS:
        return _needs_quotes(here, line, column)
    if "expected key" in problem or "block end" in problem or "'-' indicator" in problem or "document start" in problem:
        return _out_of_line(lines, place, origin if context else None)
    what = "this line cannot be read as YAML"
    return Mistake(line, column, what, f"the parser says: {' '.join((context, problem)).strip()[:200]}.")


def _stray_colon(lines: Sequence[str], line: int, column: int) -> Mistake:
    here = lines[line]
    first = _KEY.match(here)
    if first is not None and first.end() - 1 < column:
        key, value = first["key"].strip(), here[first.end() :].strip()
        if key == "dates" and value.startswith("file:"):
            path = value.removeprefix("file:").strip()
            hint = f"write dates: {{file: {path}}}."
        else:
            kind = "name" if key == "name" else "text"
            hint = f'put the {kind} in quotes: {key}: "{_short(value)}".'
        return Mistake(line, column, f'there is a colon inside the text "{_short(value)}"', hint, instead="_")
    above = next(
        (n for n in range(line - 1, -1, -1) if lines[n].strip() and not lines[n].lstrip().startswith("#")), None
    )
    if above is not None and _KEY.match(lines[above]) is None:
        return _no_key(lines, above, len(lines[above]) - len(lines[above].lstrip()))
    start = len(here) - len(here.lstrip())
    if above is not None and start > _key_column(lines[above]):
        return Mistake(line, start, "this line is indented deeper than the one above it", _IN_LINE, is_shape=True)
    return Mistake(line, column, "there is a colon here that separates nothing", "put the text in quotes.", instead="_")


def _key_column(line: str) -> int:
    bare = line.lstrip()
    return len(line) - len(bare.removeprefix("-").lstrip())


def _no_key(lines: Sequence[str], line: int, column: int) -> Mistake:
    here = lines[line]
    glued = _GLUED.match(here)
    if glued is not None:
        hint = f"write {glued['key']}: {_short(glued['value'])}."
        return Mistake(line, glued.end("key"), "a space is missing after this colon", hint)
    text = here.strip().removeprefix("- ")
    return Mistake(
        line,
        column,
        f'"{_short(text)}" is neither a key nor the value of one',
        "a setting is written as key: value, with a colon and a space.",
        width=max(1, len(here.rstrip()) - column),
    )


def _needs_quotes(here: str, line: int, column: int) -> Mistake:
    character = here[column : column + 1]
    word = re.split(r"[,\]}]|\s#", here[column:], maxsplit=1)[0].strip()
    what = f'a text that begins with "{character}" needs quotation marks'
    hint = f'write "{_short(word)}".' if '"' not in word else None
    return Mistake(line, column, what, hint, instead="_")


def _out_of_line(lines: Sequence[str], place: tuple[int, int], origin: tuple[int, int] | None) -> Mistake:
    line, column = place
    here = lines[line]
    start = len(here) - len(here.lstrip())
    if column > start and here[:column].rstrip()[-1:] in ("'", '"', "]", "}"):
        return Mistake(line, column, "there is more text after the end of the value", "put the whole value in quotes.")
    hint = _IN_LINE
    if origin is not None and origin[0] != line:
        hint += f" This block began on line {origin[0] + 1} in column {origin[1] + 1}."
    return Mistake(line, start, "this line does not line up with the lines above it", hint, is_shape=True)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
