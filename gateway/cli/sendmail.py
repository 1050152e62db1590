"""`sendmail`, `mailq` and `newaliases`: what programs expect to find on a machine that has mail.

Starts fast: no asyncio, no argparse, and of the configuration only what `gateway.config.brief` reads. Exit 0 means that the
message is safe on disk; after any other code it is not with us, and standard error says why.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO

from gateway.cli.sendmail_message import (
    BadMessage,
    addresses,
    completed,
    date_words,
    header_recipients,
    qualified,
    with_crlf,
)
from gateway.cli.sendmail_words import Words, read_words
from gateway.config.brief import Brief, read_brief
from gateway.errors import Exit, GatewayError, UsageError

SYSTEM_FILE = "/etc/tidegate/gateway.yaml"
MAX_LINE = 64 * 1024


def run(program: str, argv: Sequence[str]) -> int:
    """One call under the name `program`; the exit code. Everything that goes wrong is told on standard error."""
    try:
        words = read_words(program, argv)
        if words.mode == "aliases":
            return Exit.OK  # there are none: where mail goes is the relay's business
        brief = read_brief(find_file(words.config))
        return int(_obey(words, brief))
    except GatewayError as exc:
        print(f"{program}: {exc}", file=sys.stderr)
        return int(exc.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as exc:
        print(f"{program}: {exc}", file=sys.stderr)
        return Exit.TEMP_FAIL
    except KeyboardInterrupt:
        return 130


def find_file(named: str | None) -> str | None:
    """Which gateway.yaml, by the same rule as for every command (`gateway.config.load.find_settings`)."""
    named = named or os.environ.get("TIDEGATE_CONFIG")
    return named or next((path for path in ("gateway.yaml", SYSTEM_FILE) if os.path.exists(path)), None)


def _obey(words: Words, brief: Brief) -> int:
    match words.mode:
        case "queue":
            from gateway.cli.sendmail_queue import show_queue

            return show_queue(brief.spool)
        case "send":
            from gateway.cli.sendmail_queue import send_queue

            return send_queue(brief.spool, words.only)
        case "smtp":
            from gateway.cli.sendmail_dialogue import speak

            return speak(brief, login())
        case _:
            return _mail(words, brief)


def _mail(words: Words, brief: Brief) -> int:
    from gateway.cli.sendmail_handing import Letter, hand_in

    user = login()
    hostname = brief.hostname
    given = [address for word in words.recipients for address in addresses(word)]
    if not given and not words.extract:
        raise UsageError("no recipients: name them, or use -t to take them from the message")
    sender = f"{user}@{hostname}"
    if words.sender is not None:
        named = words.sender.strip()
        sender = "" if named in ("", "<>") else qualified(_one(named), hostname)
    octets = with_crlf(read_message(sys.stdin.buffer, brief.max_message, dot_ends=words.dot_ends))
    name = words.name if words.name is not None else (full_name() if words.sender is None else "")
    now = time.time()
    content, fields = completed(
        octets,
        sender=sender,
        name=name,
        hostname=hostname,
        date=date_words(now, time.localtime(now).tm_gmtoff),
        token=f"{time.time_ns():x}.{os.urandom(6).hex()}",
    )
    if words.extract:
        given += header_recipients(fields)
    recipients = list(dict.fromkeys(qualified(address, hostname) for address in given))
    _check_bounds(brief, content, recipients)
    notify = {"notify": words.notify} if words.notify is not None else {}
    letter = Letter(
        sender,
        [{"address": address, **notify} for address in recipients],
        content,
        user=user,
        body=words.body,
        ret=words.ret,
        envid=words.envid,
    )
    hand_in(brief, letter)
    return Exit.OK


def _one(text: str) -> str:
    found = addresses(text)
    if len(found) != 1:
        raise UsageError(f"-f is one address, not {text[:80]!a}")
    return found[0]


def _check_bounds(brief: Brief, content: bytes, recipients: Sequence[str]) -> None:
    if not recipients:
        raise BadMessage("no recipients: there is no address in To, Cc or Bcc")
    if len(recipients) > brief.max_recipients:
        raise BadMessage(f"{len(recipients)} recipients; at most {brief.max_recipients} are taken")
    if len(content) > brief.max_message:
        raise BadMessage(f"larger than {brief.max_message} octets, the most that is taken")


def read_message(stream: BinaryIO, limit: int, *, dot_ends: bool) -> bytes:
    """All of it, or what stands before a line that is a single dot. Raises BadMessage beyond `limit` octets."""
    if not dot_ends:
        octets = stream.read(limit + 1)
    else:
        lines: list[bytes] = []
        left = limit + 1
        at_start = True
        while left > 0 and (line := stream.readline(min(left, MAX_LINE))):
            if at_start and line in (b".\n", b".\r\n", b"."):
                break
            at_start = line.endswith(b"\n")
            lines.append(line)
            left -= len(line)
        octets = b"".join(lines)
    if len(octets) > limit:
        raise BadMessage(f"larger than {limit} octets, the most that is taken")
    return octets


def login() -> str:
    """Who calls, by the system's word and not by the environment's."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid{os.getuid()}"


def full_name() -> str:
    """The caller's own name: $NAME, else what the system has of it."""
    import pwd

    if "NAME" in os.environ:
        return os.environ["NAME"]
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return ""
    return entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
