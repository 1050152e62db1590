"""`/metrics`: what Prometheus reads. Counters are counted from the journal since the start; gauges are read when asked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from gateway.control.console_rows import Overview
from gateway.events import DeferredTo, DeliveredTo, Event, FailedTo, Journal, Received, Refused, SessionEnded

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MOST_LABELS = 200


class Counters:
    """Listens to the journal from the start to `close`."""

    def __init__(self, journal: Journal) -> None:
        self.received = self.received_octets = self.refused = 0
        self.deliveries: Counter[tuple[str, str]] = Counter()
        self.sent_octets: Counter[str] = Counter()
        self.close = journal.subscribe(self._listen)

    def _listen(self, event: Event) -> None:
        match event:
            case Received(size=size):
                self.received += 1
                self.received_octets += size
            case Refused():
                self.refused += 1
            case DeliveredTo(relay=relay):
                self._count(relay, "delivered")
            case DeferredTo(relay=relay):
                self._count(relay, "deferred")
            case FailedTo(relay=relay):
                self._count(relay, "failed")
            case SessionEnded(relay=relay, octets_out=octets):
                if relay in self.sent_octets or len(self.sent_octets) < _MOST_LABELS:
                    self.sent_octets[relay] += octets
            case _:
                pass

    def _count(self, relay: str | None, result: str) -> None:
        key = (relay or "", result)
        if key in self.deliveries or len(self.deliveries) < _MOST_LABELS:
            self.deliveries[key] += 1


class _Text:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, what: str, *values: tuple[dict[str, str], float | int]) -> None:
        self.lines += [f"# HELP tidegate_{name} {what}", f"# TYPE tidegate_{name} {kind}"]
        for labels, value in values:
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            self.lines.append(f"tidegate_{name}{{{shown}}} {value}" if shown else f"tidegate_{name} {value}")


def render(o: Overview, counters: Counters) -> str:
    """The text that Prometheus reads."""
    text = _Text()
    text.add("build_info", "gauge", "Version of the gateway.", ({"version": o.version}, 1))
    states = [({"state": state}, count) for state, count in o.queue.by_state.items()]
    text.add("queue_messages", "gauge", "Messages in the queue.", *states)
    text.add("queue_bytes", "gauge", "Octets of all messages in the queue.", ({}, o.queue.octets))
    if o.queue.oldest is not None:
        when = _seconds(o.queue.oldest)
        text.add("queue_oldest_message_timestamp_seconds", "gauge", "When the oldest was accepted.", ({}, when))
    text.add("queue_look_messages", "gauge", "Messages that need a person.", ({}, o.queue.look))
    modes = [({"mode": mode}, int(o.mode.now == mode)) for mode in ("online", "offline", "stopped")]
    text.add("mode", "gauge", "The mode in force.", *modes)
    text.add("link_up", "gauge", "Is the link up?", *[({"link": k.name}, int(k.up)) for k in o.links])
    metered = [({"link": k.name}, int(k.kind != "permanent")) for k in o.links]
    text.add("link_metered", "gauge", "Does the link cost money by use?", *metered)
    text.add("window_open", "gauge", "Windows that are open.", *[({"window": w.window}, 1) for w in o.open])
    if o.next is not None:
        text.add("next_opening_timestamp_seconds", "gauge", "The next opening.", ({}, _seconds(o.next.opens)))
    text.add("spool_free_bytes", "gauge", "Free octets of the spool's disk.", ({}, o.disk.free))
    text.add("spool_reserve_bytes", "gauge", "Octets of it that are kept free.", ({}, o.disk.reserve))
    text.add("spool_set_aside", "gauge", "Files set aside.", ({}, o.disk.set_aside))
    text.add("received_messages_total", "counter", "Messages accepted.", ({}, counters.received))
    text.add("received_bytes_total", "counter", "Octets accepted.", ({}, counters.received_octets))
    text.add("refused_total", "counter", "Clients, commands and messages refused.", ({}, counters.refused))
    deliveries = [({"relay": r, "result": how}, count) for (r, how), count in sorted(counters.deliveries.items())]
    text.add("deliveries_total", "counter", "Recipients, by what became of them.", *deliveries)
    sent = [({"relay": relay}, octets) for relay, octets in sorted(counters.sent_octets.items())]
    text.add("sent_bytes_total", "counter", "Octets on the wire towards the relay.", *sent)
    return "\n".join(text.lines) + "\n"


def _seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
