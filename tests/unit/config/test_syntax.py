"""Mistakes of YAML's syntax: told in plain words, and never the end of reading. With libyaml and with PyYAML's own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.config import document
from gateway.config.document import MAX_OCTETS, Block, Document, Listing, Text, read_document
from tests.unit.config.reading import told

FILE = Path("f.yaml")


@pytest.fixture(params=["libyaml", "own"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = getattr(yaml, "CSafeLoader", None) if request.param == "libyaml" else yaml.SafeLoader
    if loader is None:
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(document, "_Loader", loader)


def read(text: str) -> Document:
    return read_document(text, FILE)


def plain(node: object) -> object:
    """The tree as dicts, lists and texts."""
    if isinstance(node, Block):
        return {key.value: plain(value) for key, value in node.pairs}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Text) else node


def test_every_scalar_stays_the_text_that_was_written() -> None:
    text = (
        "a: 22:00\nb: no\nc: on\nd: 017\ne: 2026-12-24\nf: 12.30\ng: ~\nh: 1e3\ni: 0x1F\nj: 1_000\nk: .inf\nl: null\n"
    )
    tree = plain(read(text).root)
    written = ["22:00", "no", "on", "017", "2026-12-24", "12.30", "~", "1e3", "0x1F", "1_000", ".inf", "null"]
    assert tree == dict(zip("abcdefghijkl", written, strict=True))


def test_keys_stay_texts_too_and_a_merge_key_is_nothing_special() -> None:
    assert plain(read("no: 1\n12: 2\n<<: x\n").root) == {"no": "1", "12": "2", "<<": "x"}


def test_columns_count_characters_not_octets() -> None:
    root = read("název: Ústí\n").root
    assert isinstance(root, Block)
    [(key, value)] = root.pairs
    assert isinstance(value, Text)
    assert (key.column, key.width, value.column, value.width) == (1, 5, 8, 4)


def test_a_piece_of_a_quoted_text_has_its_place_behind_the_quotation_mark() -> None:
    root = read('a: "x, yz"\n').root
    assert isinstance(root, Block)
    [(_, value)] = root.pairs
    assert isinstance(value, Text)
    piece = value.piece(3, 5)
    assert (piece.value, piece.line, piece.column, piece.width) == ("yz", 1, 8, 2)


def test_line_ends_and_the_byte_order_mark_of_other_systems_do_not_move_places() -> None:
    assert told(list(read("\ufeffa: 1\r\nb: @x\r\n").problems)) == [
        (2, 4, 'a text that begins with "@" needs quotation marks')
    ]
    assert plain(read("\ufeffa: 1\rb: 2\r").root) == {"a": "1", "b": "2"}


MISTAKES = [
    ("a: b: c\n", (1, 5, 'there is a colon inside the text "b: c"'), 'put the text in quotes: a: "b: c".'),
    ("name: N: x\n", (1, 8, 'there is a colon inside the text "N: x"'), 'put the name in quotes: name: "N: x".'),
    ("a:1\nb: 2\n", (1, 2, "a space is missing after this colon"), "write a: 1."),
    ("abc\na: 1\n", (1, 1, '"abc" is neither a key nor the value of one'), "a setting is written as key: value"),
    ("a: 1\nabc\nb: 1\n", (2, 1, '"abc" is neither a key nor the value of one'), "a setting is written as"),
    ("a: 1\n  b: 2\n", (2, 3, "this line is indented deeper than the one above it"), "begin in the same column"),
    ("a:\n  - b: 1\n   c: 2\n", (3, 4, "this line does not line up with the lines above it"), "line 2 in column 3"),
    ("a:\n - b\n c: 1\n", (3, 2, "this line does not line up with the lines above it"), "line 2 in column 2"),
    (" a: 1\nb: 2\n", (2, 1, "this line does not line up with the lines above it"), "begin in the same column"),
    ("a: *@x\n", (1, 4, 'a text that begins with "*" needs quotation marks'), 'write "*@x".'),
    ("a: @x\n", (1, 4, 'a text that begins with "@" needs quotation marks'), 'write "@x".'),
    ("a: `x`\n", (1, 4, 'a text that begins with "`" needs quotation marks'), 'write "`x`".'),
    ("a: %x\n", (1, 4, 'a text that begins with "%" needs quotation marks'), 'write "%x".'),
    ("a: [::1/128]\n", (1, 5, 'a text that begins with ":" needs quotation marks'), 'write "::1/128".'),
    ("a: |x\n", (1, 4, 'a text that begins with "|" needs quotation marks'), 'write "|x".'),
    ("a: [1, 2\nb: 3\n", (1, 4, 'this "[" is not closed'), "close it with ]"),
    ("a: {b: 1\nc: 2\n", (1, 4, 'this "{" is not closed'), "close it with }"),
    ("a: [[1\n", (1, 5, 'this "[" is not closed'), "close it with ]"),
    ("a: ]\n", (1, 4, 'there is a "]" here that closes nothing'), "remove it."),
    ("a: 'x\nb: 3\n", (1, 4, "this quotation mark is not closed"), "on the same line"),
    ('a: "x\nb: 3\n', (1, 4, "this quotation mark is not closed"), "on the same line"),
    ('a: "b" c\n', (1, 8, "there is more text after the end of the value"), "put the whole value in quotes."),
    ("a: &x b\n", (1, 4, "an anchor (&x) is not allowed here"), "remove it"),
    ("a: *x\n", (1, 4, "an alias (*x) is not allowed here"), 'put it in quotes: "*x".'),
    ("a: !!int 3\n", (1, 4, "a tag (!…) is not allowed here"), "remove it"),
    ("a: ! 3\n", (1, 4, "a tag (!…) is not allowed here"), "remove it"),
    ("a: 1\n---\nb: 1\n", (2, 1, "a second document begins here"), "remove the ---"),
    ("? [a]\n: b\n", (1, 3, "a key must be plain text"), "put it in quotes"),
    ("a:\n\tb: 1\n", (2, 1, "this line is indented with a TAB"), "replace the TAB by four spaces."),
    ("a:\t1\n", (1, 3, "there is a TAB in this line"), "write spaces instead."),
    ('a: "x\ty"\n', (1, 6, "there is a TAB in this line"), "write spaces instead."),
    ("a: \x1b[2J\n", (1, 4, 'the character "\\x1b" is not allowed here'), "remove it"),
    ("a: b\x85\n", (1, 5, 'the character "\\x85" is not allowed here'), "remove it"),
    ("a: b\u2028\n", (1, 5, 'the character "\\u2028" is not allowed here'), "remove it"),
]


@pytest.mark.parametrize(("text", "place_and_text", "hint"), MISTAKES, ids=[repr(mistake[0]) for mistake in MISTAKES])
def test_a_mistake_of_syntax_is_told_in_plain_words(text: str, place_and_text: tuple[int, int, str], hint: str) -> None:
    problems = list(read(text).problems)
    assert told(problems) == [place_and_text]
    assert hint in (problems[0].hint or "")


def test_an_escape_that_yaml_does_not_know_is_told_on_its_line() -> None:
    [problem] = read('a: "C:\\qmail"\n').problems
    assert (problem.line, problem.what) == (1, "this is not an escape that YAML knows")


def test_several_mistakes_of_syntax_come_out_together_and_the_rest_is_read() -> None:
    document_ = read("w:\n- name: x: y\n  open: 1\n   at: 3\n  every: @x\n  for: 2 min\n")
    assert [problem.line for problem in document_.problems] == [2, 4, 5]
    assert plain(document_.root) == {"w": [{"name": "x: y", "open": "1", "every": "@x", "for": "2 min"}]}
    assert document_.damaged
    assert document_.patched == {2, 5}


def test_a_tab_inside_a_comment_is_no_mistake() -> None:
    assert read("a: 1  # x\ty\n# \tz\n").problems == ()


@pytest.mark.parametrize("indent", ["\t", "\t\t"])
def test_a_file_indented_with_tabs_throughout_is_read_and_each_tab_told(indent: str) -> None:
    document_ = read(f"w:\n{indent}- a: 1\n{indent}  b: 2\nx: 3\n")
    assert [(problem.line, problem.column) for problem in document_.problems] == [(2, 1), (3, 1)]
    assert plain(document_.root) == {"w": [{"a": "1", "b": "2"}], "x": "3"}


def test_places_on_a_line_indented_with_a_tab_are_those_of_the_file() -> None:
    root = read("w:\n  - a: 1\n\tb: 2\n").root
    assert isinstance(root, Block)
    items = root.pairs[0][1]
    assert isinstance(items, Listing)
    entry = items.items[0]
    assert isinstance(entry, Block)
    assert [(key.value, key.line, key.column) for key, _ in entry.pairs] == [("a", 2, 5), ("b", 3, 2)]


def test_a_file_without_content_is_an_empty_document() -> None:
    for text in ("", "\n\n", "# only a remark\n", "---\n# a\n"):
        assert read(text).problems == ()


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    assert told(list(read("a: " + "x" * MAX_OCTETS).problems)) == [(1, 1, "this file is larger than 1 MiB")]


def test_blocks_may_not_nest_without_end() -> None:
    [problem] = read("[" * 20_000).problems
    assert (problem.line, problem.what) == (1, "blocks are nested too deeply here")


def test_the_number_of_values_is_bounded() -> None:
    [problem] = read("- 1\n" * 25_000).problems
    assert problem.what == "this file holds more than 20000 values"


def test_a_bomb_of_aliases_is_told_and_not_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    problems = read(bomb).problems
    assert len(problems) == 61
    assert all("not allowed here" in problem.what for problem in problems)


def test_tabs_without_end_are_told_a_thousand_times_and_no_more() -> None:
    assert len(read("\t- a: 1\n" * 5000).problems) == 1000
    assert len(read("w:\n" + "".join("\t" * depth + "a:\n" for depth in range(1, 300))).problems) == 299


def test_a_large_file_full_of_mistakes_is_read_again_only_a_few_times() -> None:
    assert len(read("a: b: c\n" * 100_000).problems) <= 6
