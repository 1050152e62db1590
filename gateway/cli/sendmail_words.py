"""The words of `sendmail`, as forty years of programs write them, and what each asks for. Pure.

Options may be written together (`-ti`), their values attached or apart (`-fme`, `-f me`), and stand among the recipients. What
other mail systems understand and has no meaning here is taken and ignored, so that scripts go on working.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import UsageError

PROGRAMS = ("sendmail", "mailq", "newaliases")

_FLAGS = frozenset("GgImnsTUvx")
"""Taken and ignored."""

_VALUES = frozenset("ACDLMOXdehopr" + "BFNRVfc")
"""With a value. Those of the second group mean something; `d`, `e`, `o` and `q` have theirs attached only, or none."""

_ATTACHED = frozenset("deq")


class Words:
    """`mode`: mail, smtp, queue, aliases, or send. `only`: what part of the queue to send, (I, R or S, text)."""

    __slots__ = (
        "body",
        "config",
        "dot_ends",
        "envid",
        "extract",
        "mode",
        "name",
        "notify",
        "only",
        "recipients",
        "ret",
        "sender",
    )

    def __init__(self) -> None:
        self.mode = "mail"
        self.extract = False  # -t
        self.dot_ends = True  # without -i
        self.sender: str | None = None
        self.name: str | None = None
        self.notify: str | None = None
        self.ret: str | None = None
        self.envid: str | None = None
        self.body: str | None = None
        self.config: str | None = None
        self.only: tuple[str, str] | None = None
        self.recipients: list[str] = []


def read_words(program: str, argv: Sequence[str]) -> Words:
    """What the command line asks for. Raises UsageError."""
    words = Words()
    if program == "mailq":
        words.mode = "queue"
    elif program == "newaliases":
        words.mode = "aliases"
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words.recipients += rest
            break
        if word.startswith("--"):
            raise UsageError(f'"{word[:40]}" is not an option')
        if len(word) < 2 or word[0] != "-":
            words.recipients.append(word)
            continue
        letters = word[1:]
        while letters:
            letters = _option(words, letters[0], letters[1:], rest)
    return words


def _option(words: Words, letter: str, attached: str, rest: list[str]) -> str:
    """Obey one option; the letters of its word that are still to be read."""
    if letter == "b":
        _mode(words, attached or _value(letter, rest))
        return ""
    if letter == "q":
        _queue(words, attached)
        return ""
    if letter in ("i", "t"):
        words.dot_ends = words.dot_ends and letter != "i"
        words.extract = words.extract or letter == "t"
        return attached
    if letter in _FLAGS:
        return attached
    if letter not in _VALUES:
        raise UsageError(f'"-{letter}" is not an option')
    if letter in _ATTACHED:
        return ""
    value = attached or _value(letter, rest)
    if letter == "o":
        words.dot_ends = words.dot_ends and value != "i"
    else:
        _meaning(words, letter, value)
    return ""


def _value(letter: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"-{letter} needs a value")
    return rest.pop(0)


def _meaning(words: Words, letter: str, value: str) -> None:
    match letter:
        case "f" | "r":
            words.sender = value
        case "F":
            words.name = value
        case "c":
            words.config = value
        case "N":
            words.notify = _notify(value)
        case "R":
            if value.lower() not in ("full", "hdrs"):
                raise UsageError("-R is full or hdrs")
            words.ret = value.upper()
        case "V":
            words.envid = _xtext(value)
        case "B":
            if value.upper() not in ("7BIT", "8BITMIME"):
                raise UsageError("-B is 7BIT or 8BITMIME")
            words.body = value.upper()
        case _:
            pass  # another mail system's


def _mode(words: Words, value: str) -> None:
    match value[0]:
        case "m" | "a":
            words.mode = "mail"
        case "s":
            words.mode = "smtp"
        case "p":
            words.mode = "queue"
        case "i":
            words.mode = "aliases"
        case "d" | "D":
            raise UsageError("the gateway is started with `tidegate serve`, not with -bd")
        case _:
            raise UsageError(f'"-b{value[:10]}" is not built')


def _queue(words: Words, value: str) -> None:
    if value[:1] in ("I", "R", "S") and len(value) > 1:
        words.only = (value[0], value[1:])
    words.mode = "send"


def _notify(value: str) -> str:
    """RFC 3461 4.1: NEVER alone, or a list of the others."""
    parts = value.upper().split(",")
    if parts != ["NEVER"] and (not set(parts) <= {"SUCCESS", "FAILURE", "DELAY"} or len(set(parts)) != len(parts)):
        raise UsageError("-N is never, or a list of success, failure, delay")
    return ",".join(parts)


def _xtext(value: str) -> str:
    """RFC 3461 4: an identifier as the envelope writes it, at most 100 characters."""
    text = "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{byte:02X}" for c in value for byte in c.encode())
    if not value.isascii() or not value.isprintable() or not 0 < len(text) <= 100:
        raise UsageError("-V is an identifier in ASCII, of up to 100 characters")
    return text
