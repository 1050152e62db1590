"""The accounts of the console as they rest in the spool's state: a role and the hash of its password."""

from __future__ import annotations

import msgspec

STATE = "console-accounts"
ROLES = ("operator", "viewer")


def with_account(saved: bytes | None, role: str, stored: str) -> bytes:
    """The state with this role's password replaced. A state that cannot be read is begun anew."""
    try:
        accounts = msgspec.json.decode(saved, type=dict[str, str]) if saved is not None else {}
    except msgspec.MsgspecError:
        accounts = {}
    return msgspec.json.encode({**accounts, role: stored})
