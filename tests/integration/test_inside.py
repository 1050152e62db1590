"""Mail for the branch's own domains: taken from anybody, sent to `inside` at once in every mode but stopped."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread


def settings(relay: RelayThread, inside: RelayThread) -> str:
    domains = f"accept: {{domains: [branch.example]}}\ninside: {{host: 127.0.0.1, port: {inside.port}}}\n"
    return "mode: offline\nqueue: {retry_interval: 1 s}\n" + domains + relay.settings


def test_mail_for_inside_leaves_at_once_while_offline_and_the_rest_of_the_message_waits(tmp_path: Path) -> None:
    with RelayThread() as relay, RelayThread() as inside, Gateway(tmp_path, settings(relay, inside)) as gateway:
        item = gateway.hand_in(letter(), "ops@hq.example", "petr@Branch.example", sender="boss@hq.example")
        eventually(lambda: inside.messages, "it is inside")
        assert inside.messages[0].recipients == ["petr@Branch.example"]
        row = eventually(lambda: [r for r in gateway.queue() if r["to"] == ["ops@hq.example"]], "one recipient waits")[
            0
        ]
        assert (row["id"], row["next_try"]["kind"]) == (item, "never")
        assert not relay.messages
        gateway.run("mode", "online")
        eventually(lambda: relay.messages, "the rest left over the line")
        assert relay.messages[0].recipients == ["ops@hq.example"]
        eventually(lambda: not gateway.queue(), "nothing is left")


def test_a_server_inside_that_is_away_is_tried_again_and_the_line_is_not_touched(tmp_path: Path) -> None:
    away = RelayThread({"CONNECT": ["421 later", None]})
    with RelayThread() as relay, away as inside, Gateway(tmp_path, settings(relay, inside)) as gateway:
        gateway.hand_in(letter(), "petr@branch.example")
        eventually(lambda: inside.messages, "the second try succeeded")
        assert not relay.relay.visits


def test_stopped_holds_mail_for_inside_too(tmp_path: Path) -> None:
    with RelayThread() as relay, RelayThread() as inside, Gateway(tmp_path, settings(relay, inside)) as gateway:
        gateway.run("mode", "stopped")
        gateway.hand_in(letter(), "petr@branch.example")
        assert gateway.queue()[0]["next_try"]["kind"] == "never"
        assert not inside.relay.visits
        gateway.run("mode", "offline")
        eventually(lambda: inside.messages, "it left when sending was allowed again")


def test_a_report_to_a_sender_inside_does_not_wait_for_the_line(tmp_path: Path) -> None:
    refusing = RelayThread({"RCPT": lambda line: "550 5.1.1 nobody"})
    with refusing as relay, RelayThread() as inside, Gateway(tmp_path, settings(relay, inside)) as gateway:
        gateway.hand_in(letter(), "nobody@hq.example", sender="anna@branch.example")
        gateway.run("schedule", "open", "2s")
        eventually(lambda: inside.messages, "the report is inside")
        assert (inside.messages[0].sender, inside.messages[0].recipients) == ("", ["anna@branch.example"])
