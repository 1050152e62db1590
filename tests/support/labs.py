"""Where the laboratories are (`crashlab`, `linklab`), and the one rule for skipping what needs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lab(name: str) -> Path | None:
    """The folder of a laboratory: `$LABS/NAME`, else `../shared/NAME` beside the project; None where it is missing."""
    base = os.environ.get("LABS")
    folder = (Path(base) if base else ROOT.parent / "shared") / name
    return folder if folder.is_dir() else None


def why_not(name: str, *devices: str) -> str | None:
    """Why a test that needs this laboratory cannot run here; None if it can."""
    if lab(name) is None:
        return f"{name} is neither at $LABS nor at ../shared"
    if os.geteuid() != 0:
        return f"{name} needs root"
    missing = [device for device in devices if not os.path.exists(device)]
    return f"{name} needs {', '.join(missing)}" if missing else None


def require(name: str, *devices: str) -> Path:
    """The laboratory's folder; skips with the reason where it cannot run, and fails where CI says that it must."""
    reason = why_not(name, *devices)
    if reason is not None:
        if lab(name) is not None and os.environ.get("TIDEGATE_LABS_REQUIRED"):
            pytest.fail(f"the laboratory is here and must run: {reason}")
        pytest.skip(reason)
    folder = lab(name)
    assert folder is not None
    return folder
