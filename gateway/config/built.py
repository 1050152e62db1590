"""Which keys are understood and not obeyed yet. Building one is the deletion of its line here.

A key is the name of its block, a dot, its own name; `window.` stands for windows, `defaults` and `extra` of the schedule.
The texts behind it are the values that ask for nothing, so that they may stand there all the same.
"""

from __future__ import annotations

NOT_IN_FORCE: dict[str, tuple[str, ...]] = {
    "sources": ("[]",),
    "report_language": ("en",),
    "window.fetch": ("none", "[]"),
}
"""Said by the checker, at start and in `status`; the rest of the file is obeyed."""

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {}
"""Errors: whoever writes these relies on them (DESIGN section 4)."""
