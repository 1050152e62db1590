"""`tidegate console password [NAME]`: the password of operator or viewer for the web console.

A running gateway keeps it; where none runs, it is put into the spool's state as the gateway would do it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from gateway.cli.users import SOCKET, CannotWrite, read_password
from gateway.config.load import load_settings
from gateway.control.accounts import ROLES, STATE, with_account
from gateway.control.client import call
from gateway.durable import Disk, read_file, replace_file
from gateway.errors import Exit, GatewayError, NotRunning, UsageError
from gateway.mail.password import make_hash

SHORTEST = 8
_STATE_LIMIT = 65536


class TooShort(GatewayError):
    """The password will not do."""

    exit_code = Exit.DATA


def run_console(name: str | None, path: Path | None, as_json: bool) -> int:
    """Ask for the password and keep its hash. Raises GatewayError with the exit code that the command ends with."""
    role = name or "operator"
    if role not in ROLES:
        raise UsageError(f"the console has {' and '.join(ROLES)}, and no {role[:40]!r}")
    spool = load_settings(path).spool
    password = read_password(role)
    if len(password) < SHORTEST:
        raise TooShort(f"a password of the console has at least {SHORTEST} characters")
    stored = make_hash(password)
    try:
        list(call(spool / SOCKET, "console password", role=role, hash=stored))
        told = "the gateway knows it; its sessions are over"
    except NotRunning:
        _keep(spool, role, stored)
        told = "the gateway is not running and will know it at its next start"
    print(json.dumps({"role": role, "result": "set"}) if as_json else f"{role} has a new password; {told}")
    return Exit.OK


def _keep(spool: Path, role: str, stored: str) -> None:
    """Durable when it returns, mode 0600, and the gateway's own where root does this."""
    disk, file = Disk(), spool / "state" / STATE
    try:
        for folder in (spool, file.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            saved: bytes | None = read_file(disk, str(file), _STATE_LIMIT)
        except FileNotFoundError:
            saved = None
        replace_file(disk, str(file), with_account(saved, role, stored), durable=True)
        owner = spool.stat()
        if os.geteuid() == 0:
            for path in (file, file.parent):
                os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as exc:
        raise CannotWrite(f"{file} cannot be written: {exc.strerror or exc}") from exc
