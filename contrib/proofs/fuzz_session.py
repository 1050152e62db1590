"""The loop behind `contrib/proofs/fuzz`: atheris (libFuzzer) makes octets, `tests.support.fuzzing` plays and judges them.

Every 30 seconds it prints the memory in use: of the process, with libFuzzer's own tables and inputs, which grow with what it
finds, and Python's blocks, in which a leak of ours would be. Ends with 1 and the octets of the conversation if one broke a
promise, or if after the first tenth of the time the blocks grew by a tenth. `fuzz_session.py FILE` plays such a file again.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["gateway.reception", "gateway.mail"]):
    from gateway.reception import session  # noqa: F401 - the import is what instruments it and all below
    from tests.support.fuzzing import PROFILES, Stage, decode

INTERVAL = 30.0
GROWTH = 1.1
SEEDS = (
    bytes([0, 2, 3, 4, 0xF0, 69, 54, 5, 6]),  # one message
    bytes([0, 2, 3, 25, 52, 26, 52, 6]),  # by BDAT
    bytes([0, 13, 0xF0, 0, 34, 2, 3, 4, 0xF0, 69, 5, 6]),  # signing in
)


def resident() -> int:
    """Octets of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Run:
    """Counts conversations and watches the memory."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self.played = self.stored = 0
        self.began = self.told = time.monotonic()
        self.settled_at = self.began + seconds / 10
        self.settled: int | None = None

    def one(self, octets: bytes) -> None:
        try:
            course = self.stage.play_octets(octets)
        except BaseException:
            print(f"\nthis broke a promise: {octets.hex()}\n{decode(octets)}", file=sys.stderr, flush=True)
            raise
        self.played += 1
        self.stored += len(course.stored)
        now = time.monotonic()
        if now - self.told < INTERVAL:
            return
        self.told = now
        gc.collect()
        blocks = sys.getallocatedblocks()
        if self.settled is None and now > self.settled_at:
            self.settled = blocks
        print(
            f"{now - self.began:6.0f} s {self.played:9} played {self.stored:8} stored "
            f"{resident() / 1e6:7.1f} MB {blocks:8} blocks",
            flush=True,
        )
        if self.settled is not None and blocks > self.settled * GROWTH:
            raise MemoryError(f"Python's blocks grew from {self.settled} to {blocks}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        if len(sys.argv) == 2:
            print(stage.play_octets(Path(sys.argv[1]).read_bytes()))
            return
        seconds, seed = int(sys.argv[1]), int(sys.argv[2])
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for kind in range(len(PROFILES)):
            for number, octets in enumerate(SEEDS):
                Path(corpus, f"{kind}-{number}").write_bytes(bytes([kind]) + octets)
        run = Run(stage, seconds)
        options = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=200", "-timeout=60", "-verbosity=0"]
        options += ["-rss_limit_mb=1000", f"-artifact_prefix={ROOT}/.venv/fuzz/", str(corpus)]
        atheris.Setup([sys.argv[0], *options], run.one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
