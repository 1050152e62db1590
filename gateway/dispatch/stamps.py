"""Do the files of the configuration differ on disk from what is in force? By length and time of change; nothing is read."""

from __future__ import annotations

from pathlib import Path

from gateway.config.settings import Settings


class Stamps:
    """What the files looked like when the settings were put in force."""

    __slots__ = ("_known",)

    def __init__(self, settings: Settings) -> None:
        self._known = {path: _stamp(path) for path in (settings.path, settings.schedule) if path is not None}

    def changed(self) -> list[str]:
        return [str(path) for path, stamp in self._known.items() if _stamp(path) != stamp]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
