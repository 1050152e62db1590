"""The program's entry: reads the words, does what they ask, returns the exit code. Loads only what a command needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.cli.sendmail_words import PROGRAMS
from gateway.errors import Exit, GatewayError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Answers go to standard output, everything else to standard error.

    Called under the name of sendmail, mailq or newaliases (links to this program), it is that program.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    called = os.path.basename(sys.argv[0]) if argv is None else "tidegate"
    program = (called, words) if called in PROGRAMS else _program(words)
    if program is not None:
        from gateway.cli.sendmail import run

        return run(*program)
    try:
        return int(_run(words))
    except GatewayError as exc:
        print(str(exc), file=sys.stderr)
        return int(exc.exit_code)
    except BrokenPipeError:
        # The reader of our answer went away (`| head`): that is its right, and no news for standard error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as exc:
        print(f"tidegate: {exc}", file=sys.stderr)
        return int(Exit.CANT_CREATE)
    except KeyboardInterrupt:
        return 130


def _program(words: list[str]) -> tuple[str, list[str]] | None:
    """`tidegate [-c FILE] sendmail …`: the program and its words, which are not ours to look through."""
    for at, word in enumerate(words):
        if word in PROGRAMS:
            return word, [*words[:at], *words[at + 1 :]]
        if not word.startswith("-c") and not (at and words[at - 1] == "-c"):
            return None
    return None


def _run(argv: list[str]) -> int:
    from gateway.cli.arguments import NOT_BUILT, make_parser, take_global

    words = take_global(argv)
    parser = make_parser()
    options = parser.parse_args(list(words.words))
    if options.version or options.command == "version":
        print(f'{{"version": "{__version__}"}}' if words.json else f"tidegate {__version__}")
        return Exit.OK
    command = options.command
    if command is None:
        parser.print_help()
        return Exit.USAGE
    if command in NOT_BUILT:
        raise UsageError(f'"tidegate {command}" is not built yet: {NOT_BUILT[command]} in a later version')
    if command == "demo":
        from pathlib import Path

        from gateway.cli.show import screen
        from gateway.demo.demo import demo

        return demo(Path(options.folder or ".demo"), options.port, sys.stdout, os.environ, screen)
    from gateway.config.load import find_settings

    path = find_settings(words.config, os.environ)
    if command == "serve":
        from gateway.cli.serve import serve

        return serve(path)
    if command == "user":
        if options.part is None:
            raise UsageError(f"user: add, remove, list or password?\n{options.user_parser.format_usage().rstrip()}")
        from gateway.cli.users import run_user

        return run_user(options, path, words.json)
    if command == "console":
        from gateway.cli.console import run_console

        return run_console(options.name, path, words.json)
    if command == "schedule" and options.part in (None, "check", "next", "week", "diff"):
        from gateway.cli.schedule import run_schedule

        return run_schedule(options, path, words.json)
    from gateway.cli.commands import run_command

    return run_command(options, path, words.json)
