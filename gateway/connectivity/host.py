"""Counters of interfaces, memory and disk, for `status`. psutil is loaded when it is first asked."""

from __future__ import annotations


def interface_octets(interface: str) -> tuple[int, int] | None:
    """Octets (in, out) that the kernel counted on the interface; None where there is none of that name."""
    import psutil

    counters = psutil.net_io_counters(pernic=True).get(interface)
    return None if counters is None else (counters.bytes_recv, counters.bytes_sent)


def own_memory() -> int:
    """Resident octets of this process."""
    import psutil

    return int(psutil.Process().memory_info().rss)
