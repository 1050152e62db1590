"""The index is small enough for long outages on small machines (P12)."""

from __future__ import annotations

import importlib.util

from tests.support.labs import ROOT


def test_an_entry_of_the_index_takes_at_most_400_octets() -> None:
    spec = importlib.util.spec_from_file_location("index_memory", ROOT / "contrib" / "bench" / "index_memory.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.octets_per_message(6_000) <= 400
