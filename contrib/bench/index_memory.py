"""Memory of the queue's index: octets for each waiting message, all in (P12: at most 400).

    python contrib/bench/index_memory.py [MESSAGES]

Builds an index as the spool does from records that were tried and deferred (the largest entries), and asks tracemalloc.
"""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.spool.entry import Entry
from gateway.spool.ids import Ids
from gateway.spool.record import DoubtRecord, RecipientRecord, Record, decode_record, encode_record


def octets_per_message(messages: int) -> float:
    """What one entry of an index of so many takes, with its ID, its numbers and its place."""
    ids = Ids("a1b2", 1_000_000)
    ids.extend(1_000_000 + messages)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    entries: dict[str, Entry] = {}
    for n in range(messages):
        record = Record(
            id=ids.take(),
            created=1_780_000_000.25 + n,
            reverse_path="someone@branch.example.net",
            recipients=[RecipientRecord(address="somebody@hq.example.net")],
            size=5000 + n,
            sha256="0" * 64,
            due=1_780_003_600.5 + n,
            last_try=1_780_001_800.125 + n,
            attempts=2,
            tries=3,
            doubt=DoubtRecord(at=1_780_001_800.125),
        )
        entry = Entry(decode_record(encode_record(record)))
        entries[entry.id] = entry
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / len(entries)


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{octets_per_message(messages):.0f} octets of index for each of {messages} waiting messages (at most 400)")


if __name__ == "__main__":
    main()
