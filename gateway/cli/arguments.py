"""The words of each command (DESIGN section 10). `-c FILE` and `--json` may stand anywhere; durations may be two words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from gateway.errors import UsageError

NOT_BUILT = {
    "init": "writes a first configuration",
    "doctor": "checks the installation",
    "fetch": "pulls inbound mail",
    "export": "writes the queue to a file",
    "import": "reads a queue from a file",
    "fsck": "checks the spool",
}
"""Commands of the contract that later versions bring: refused by name, so that nobody takes silence for success."""


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What may stand anywhere on the line."""

    config: str | None
    json: bool
    words: tuple[str, ...]


def take_global(argv: Sequence[str]) -> Everywhere:
    """Split off `-c FILE`, `-cFILE`, `--config FILE`, `--config=FILE` and `--json`, wherever they stand before a `--`."""
    config: str | None = None
    as_json = False
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += [word, *rest]
            break
        if word == "--json":
            as_json = True
        elif word in ("-c", "--config"):
            if not rest:
                raise UsageError(f"{word} needs the name of a file")
            config = rest.pop(0)
        elif word.startswith("--config="):
            config = word.partition("=")[2]
        elif word.startswith("-c") and len(word) > 2 and not word.startswith("--"):
            config = word[2:]
        else:
            words.append(word)
    return Everywhere(config, as_json, tuple(words))


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is our own error with our own exit code."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().rstrip()}")


def make_parser() -> Parser:
    """The whole command line. Each command's help begins with an example."""
    parser = Parser(
        prog="tidegate",
        description="A mail gateway for offices whose line comes and goes.",
        epilog="-c FILE and --json may stand anywhere. `tidegate COMMAND -h` shows more.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=f"{text}\n\n  {example}",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    command("serve", "run the gateway", "tidegate serve -c /etc/tidegate/gateway.yaml")
    demo = command("demo", "the gateway with a simulated line and relay", "tidegate demo")
    demo.add_argument("--folder", help="where its files go (default: ./.demo)")
    demo.add_argument("--port", type=int, default=2525, help="SMTP port on 127.0.0.1 (default: 2525)")
    command("status", "the state of the gateway in a few lines", "tidegate status")
    command("watch", "events as they happen, until Ctrl-C", "tidegate watch")
    command("reload", "read both files again; a bad file changes nothing", "tidegate reload")
    command("version", "print the version", "tidegate version")

    queue = command("queue", "the messages in the queue", "tidegate queue from:anna older:4h")
    queue.add_argument(
        "filter", nargs="*", help="words, from: to: larger:1MB older:4h status:held class:bulk window:night"
    )
    for name, text in (
        ("show", "one message: envelope, recipients, attempts"),
        ("explain", "why a message is still here, and when it leaves"),
    ):
        one = command(name, text, f"tidegate {name} ID")
        one.add_argument("id")
    tries = command("try", "send these messages now", "tidegate try ID ID")
    tries.add_argument("id", nargs="+")
    tries.add_argument("--now", action="store_true", help="a dialled link may be raised for it")
    send = command("send", "send the queue now, over a link that is up", "tidegate send")
    send.add_argument("--now", action="store_true", help="a dialled link may be raised for it")
    send.add_argument("--force", action="store_true", help="class, size, budget and Next Try do not count")

    for name, text in (
        ("hold", "stop messages"),
        ("release", "let held messages go again"),
        ("remove", "take messages out"),
    ):
        many = command(name, text, f"tidegate {name} ID   or   tidegate {name} --match from:newsletter")
        many.add_argument("id", nargs="*")
        many.add_argument("--match", metavar="FILTER", nargs="+", help="all that match the filter")
        many.add_argument("--all", action="store_true", help="the whole queue")
        if name == "hold":
            many.add_argument("--note", help="why; shown in the queue")
        if name == "remove":
            many.add_argument("--tell-senders", action="store_true", help="report it to the senders after ten minutes")
    command("undo", "bring back what was removed last, within ten minutes", "tidegate undo")

    mode = command("mode", "show or choose the mode", "tidegate mode offline --for 2h")
    mode.add_argument("mode", nargs="?", choices=["auto", "online", "offline", "stopped"])
    mode.add_argument("--for", dest="lasting", nargs="+", metavar="DURATION", help="then what was before comes back")

    clock = command("clock", "say that the clock is right, whatever was seen before", "tidegate clock accept")
    clock.add_argument("part", choices=["accept"])

    user = command("user", "the users who may sign in", "tidegate user add anna")
    user.set_defaults(user_parser=user)
    deeds = user.add_subparsers(dest="part", metavar="add|remove|list|password", parser_class=Parser)
    for name, text in (
        ("add", "a new user; the password is asked for, or read from standard input"),
        ("remove", "who may not sign in any more"),
        ("list", "all names, and the addresses that are theirs"),
        ("password", "a new password for one user"),
    ):
        deed = deeds.add_parser(name, help=text, allow_abbrev=False)
        if name != "list":
            deed.add_argument("name", nargs="?", metavar="NAME")
        if name == "add":
            what = "a sender address (or *@domain) that is this user's, for `senders: own`; may be repeated"
            deed.add_argument("--address", action="append", metavar="ADDRESS", help=what)

    console = command("console", "the password of the web console", "tidegate console password")
    console.add_argument("part", choices=["password"])
    console.add_argument("name", nargs="?", metavar="NAME", help="operator (default) or viewer")

    link = command("link", "the links and their state", "tidegate link")
    link.add_argument(
        "words", nargs="*", metavar="status | up NAME | down NAME | event IFACE up|down", help=argparse.SUPPRESS
    )

    schedule = command("schedule", "the schedule: check it, look ahead, change it", "tidegate schedule next -n 5")
    schedule.set_defaults(schedule_parser=schedule)
    parts = schedule.add_subparsers(
        dest="part", metavar="check|next|week|diff|apply|simulate|skip|open", parser_class=Parser
    )
    check = parts.add_parser("check", help="mistakes and warnings of the files")
    check.add_argument("file", nargs="?")
    check.add_argument("--strict", action="store_true", help="warnings count as mistakes")
    following = parts.add_parser("next", help="the next openings")
    following.add_argument("-n", type=int, default=10, help="how many (default: 10)")
    following.add_argument("--from", dest="start", metavar="TIME", help="2026-03-29T01:00, in the schedule's zone")
    parts.add_parser("week", help="the next seven days as a grid")
    for name, text in (
        ("diff", "what a changed file would change in 14 days"),
        ("apply", "put a changed file in force"),
        ("simulate", "when the waiting messages would leave under it"),
    ):
        part = parts.add_parser(name, help=text)
        part.add_argument("file")
        if name == "apply":
            part.add_argument(
                "--confirm",
                nargs="+",
                metavar="DURATION",
                help="go back to the old file unless `apply` is said again within this time",
            )
    parts.add_parser("skip", help="the opening in progress, else the next, does not take place")
    opening = parts.add_parser("open", help="an opening now, that admits everything")
    opening.add_argument("duration", nargs="+")

    for name, text in (
        ("sendmail", "hand in a message, as every program knows how; also by a link of this name"),
        ("mailq", "the queue, as scripts read it"),
        ("newaliases", "nothing, successfully"),
    ):
        commands.add_parser(name, help=text, add_help=False)  # read by gateway.cli.sendmail_words, before we get here

    for name, text in NOT_BUILT.items():
        later = commands.add_parser(name, help=f"{text} (not built yet)", allow_abbrev=False)
        later.add_argument("rest", nargs=argparse.REMAINDER)
    return parser
