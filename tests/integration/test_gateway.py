"""The whole gateway as its users meet it: SMTP in, commands, a relay, a schedule."""

from __future__ import annotations

import email
import email.policy
import socket
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

ALWAYS = "timezone: UTC\nwindows:\n  - {name: Always, open: '00:00-24:00', send: 'urgent, normal', max_message: 1 MB}\n"
NEVER = "timezone: UTC\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def without_received(octets: bytes) -> bytes:
    """The message without its first field, which must be our one Received field."""
    assert octets.startswith(b"Received: ")
    lines = octets.split(b"\r\n")
    end = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith((b" ", b"\t")))
    return b"\r\n".join(lines[end:])


def test_online_a_message_arrives_octet_for_octet_under_one_received_field(tmp_path: Path) -> None:
    content = letter("Grüße", "A line.\r\n.dot\r\n..two dots\r\nümläut \xff\r\n".encode("latin-1").decode("latin-1"))
    with RelayThread() as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        item = gateway.hand_in(content, "ops@hq.example", options=("BODY=8BITMIME",))
        message = eventually(lambda: relay.messages, "the message is at the relay")[0]
        assert without_received(message.octets) == content
        assert f"id {item}".encode() in message.octets.partition(b"\r\n\r\n")[0]
        assert (message.sender, message.recipients) == ("anna@branch.example", ["ops@hq.example"])
        eventually(lambda: not gateway.queue(), "the queue is empty")
        eventually(lambda: gateway.logged(item, "delivered", "ops@hq.example"), "the log says so")
        assert len(gateway.logged(item, " received ")) == 1
        assert not list((tmp_path / "spool" / "queue").iterdir())


def test_s69_sigterm_answers_421_in_every_state_and_loses_nothing_that_was_answered_250(tmp_path: Path) -> None:
    talk = {
        "idle": b"EHLO pc\r\n",
        "in MAIL": b"EHLO pc\r\nMAIL FROM:<a@b.example>\r\n",
        "in RCPT": b"EHLO pc\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
        "after one": b"EHLO pc\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nwhole\r\n.\r\n",
    }
    with Gateway(tmp_path, "mode: stopped\n") as gateway:
        clients = {state: socket.create_connection(("127.0.0.1", gateway.port), 30) for state in talk}
        said = dict.fromkeys(talk, b"")
        for state, words in talk.items():
            clients[state].sendall(words)
            last = (
                b"queued as" if state == "after one" else {"idle": b"LIMITS", "in MAIL": b"2.1.0"}.get(state, b"2.1.5")
            )
            while last not in said[state] or not said[state].endswith(b"\r\n"):
                said[state] += clients[state].recv(4096)
        assert gateway.stop() == 0
        for state, client in clients.items():
            with client:
                while octets := client.recv(4096):
                    said[state] += octets
            assert said[state].splitlines()[-1].startswith(b"421 4.3.2 "), state
    [row] = gateway.queue()  # as it lies in the spool
    assert row["id"].encode() in said["after one"]


def test_offline_mail_is_held_until_an_opening_by_hand_sends_it(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: offline\n" + relay.settings, NEVER) as gateway:
        ids = [gateway.hand_in(letter(f"No. {n}")) for n in range(3)]
        rows = gateway.queue()
        assert [row["id"] for row in rows] == ids
        assert {row["next_try"]["kind"] for row in rows} == {"never"}
        assert {row["state"] for row in rows} == {"waiting"}
        assert not relay.messages
        assert gateway.run("schedule", "open", "30s").returncode == 0
        eventually(lambda: len(relay.messages) == 3, "the queue left")
        eventually(lambda: not gateway.queue(), "the queue is empty")
        assert gateway.logged("window", "opened", "state=open") or gateway.logged("window", "state=open")


def test_a_window_sends_what_it_admits_and_explain_says_why_the_rest_stays(tmp_path: Path) -> None:
    bulk = "classes:\n  - {class: bulk, to: '*@list.example'}\n"
    metered = "links:\n  - {name: lte, kind: metered, interface: default}\n"
    with RelayThread() as relay, Gateway(tmp_path, metered + relay.settings + bulk, ALWAYS) as gateway:
        gateway.hand_in(letter())
        large = gateway.hand_in(letter(body="x" * 76 + "\r\n" + ("y" * 76 + "\r\n") * 15000))
        news = gateway.hand_in(letter(), "all@list.example")
        eventually(lambda: len(relay.messages) == 3, "the small one left, and a report about each that no window takes")
        eventually(lambda: {row["id"] for row in gateway.queue()} == {large, news}, "the others stay")
        delayed = [message.octets for message in relay.messages if b"Action: delayed" in message.octets]
        assert len(delayed) == 2
        assert sum(b"does not leave by itself: no window sends class bulk." in report for report in delayed) == 1
        explained = gateway.json("explain", large)[0]
        assert explained["next_try"]["kind"] == "never"
        assert "oo large for any window" in explained["verdict"]
        size = next(check for check in explained["checks"] if check["name"] == "size")
        assert (size["state"], size["line"]) == ("wait", 3)
        assert size["file"].endswith("schedule.yaml")
        assert "o window sends class bulk" in gateway.json("explain", news)[0]["verdict"]
        assert gateway.run("try", news).returncode == 0
        eventually(lambda: len(relay.messages) == 4, "an operator sent it all the same")


def test_a_refused_recipient_is_reported_and_the_others_delivered(tmp_path: Path) -> None:
    def rcpt(line: str) -> str | None:
        return "550 5.1.1 nobody of this name" if "nobody@" in line else None

    with RelayThread({"RCPT": rcpt}) as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        item = gateway.hand_in(letter(), "ops@hq.example", "nobody@hq.example")
        eventually(lambda: len(relay.messages) == 2, "the message and the report left")
        report = next(m for m in relay.messages if m.sender == "")
        assert report.recipients == ["anna@branch.example"]
        parsed = email.message_from_bytes(report.octets, policy=email.policy.default)
        assert parsed.get_content_type() == "multipart/report"
        status = next(p for p in parsed.walk() if p.get_content_type() == "message/delivery-status")
        fields = status.get_payload()
        assert isinstance(fields, list)
        assert fields[1]["Final-Recipient"] == "rfc822; nobody@hq.example"
        assert (fields[1]["Action"], fields[1]["Status"]) == ("failed", "5.1.1")
        eventually(lambda: not gateway.queue(), "nothing waits any more")
        assert gateway.logged(item, "failed", "nobody@hq.example")
        assert gateway.logged(item, "delivered", "ops@hq.example")


def test_a_temporary_failure_waits_its_interval_and_one_recipient_is_retried_alone(tmp_path: Path) -> None:
    answers = {"RCPT": [None, "450 4.2.1 later"]}
    settings = "mode: online\nqueue: {retry_interval: 1 s}\n"
    with RelayThread(answers) as relay, Gateway(tmp_path, settings + relay.settings) as gateway:
        gateway.hand_in(letter(), "one@hq.example", "two@hq.example")
        eventually(lambda: len(relay.messages) == 2, "the second recipient was served later")
        assert [m.recipients for m in relay.messages] == [["one@hq.example"], ["two@hq.example"]]


def test_without_a_relay_that_answers_mail_waits_with_a_reason_and_leaves_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    relays = f"relays:\n  - {{name: isp, host: 127.0.0.1, port: {port}, tls: none}}\n"
    settings = "mode: online\nqueue: {retry_interval: 1 s}\n" + relays
    with Gateway(tmp_path, settings) as gateway:
        gateway.hand_in(letter())
        row = eventually(
            lambda: next((r for r in gateway.queue() if r["next_try"]["kind"] == "time"), None), "a next try is shown"
        )
        assert row["state"] == "deferred"
        assert "does not answer" in row["status"] or "refused" in row["status"]
        assert row["attempts"] == 0
        with RelayThread() as relay:
            gateway.config.write_text(gateway.config.read_text().replace(str(port), str(relay.port)))
            assert gateway.run("reload").returncode == 0
            eventually(lambda: relay.messages, "the message left")


def test_hold_release_remove_undo(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: offline\n" + relay.settings) as gateway:
        one, two = gateway.hand_in(letter("one")), gateway.hand_in(letter("two"), sender="news@branch.example")
        assert gateway.run("hold", one).stdout == f"{one} held\n"
        row = gateway.queue("status:held")[0]
        assert (row["id"], row["next_try"]["kind"], row["state"]) == (one, "released", "held")
        assert gateway.run("remove", "--match", "from:news").stdout == f"{two} removed\n"
        assert [r["id"] for r in gateway.queue()] == [one]
        assert gateway.run("undo").stdout == f"{two} restored\n"
        assert {r["id"] for r in gateway.queue()} == {one, two}
        assert gateway.run("release", one).returncode == 0
        assert gateway.run("show", "nosuchid").returncode == 66
        assert gateway.run("queue", "form:x").returncode == 64
        assert gateway.run("mode", "online").returncode == 0
        eventually(lambda: len(relay.messages) == 2, "both left")


def test_what_was_accepted_survives_kill_and_restart(tmp_path: Path) -> None:
    with RelayThread() as relay:
        gateway = Gateway(tmp_path, "mode: offline\n" + relay.settings)
        gateway.start()
        ids = {gateway.hand_in(letter(f"No. {n}")) for n in range(5)}
        gateway.run("mode", "stopped")
        gateway.kill()
        on_disk = gateway.run("queue", "--json")
        assert "not running" in on_disk.stderr
        assert on_disk.stdout.count("\n") == 5
        with gateway:
            assert {row["id"] for row in gateway.queue()} == ids
            assert gateway.json("status")[0]["mode"]["set"] == "stopped"
            gateway.run("mode", "online")
            eventually(lambda: len(relay.messages) == 5, "all left once")
            eventually(lambda: not gateway.queue(), "the queue is empty")
            assert len(relay.messages) == 5


def test_send_with_nothing_to_send_and_a_bad_file_at_reload(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: offline\n" + relay.settings, NEVER) as gateway:
        assert gateway.run("send").returncode == 75
        gateway.hand_in(letter())
        (tmp_path / "schedule.yaml").write_text("timezone: UTC\nwindows:\n  - {name: A, opne: 1}\n")
        bad = gateway.run("reload")
        assert bad.returncode == 78
        assert "opne" in bad.stderr
        (tmp_path / "schedule.yaml").write_text(NEVER)
        assert gateway.run("send").returncode == 0
        eventually(lambda: relay.messages, "send works outside windows")


def test_status_names_what_is_not_in_force_and_a_changed_file(tmp_path: Path) -> None:
    sources = "sources:\n  - {name: hq, kind: etrn, host: smtp.hq.example, domains: [b.example]}\n"
    with Gateway(tmp_path, "mode: stopped\n" + sources, NEVER) as gateway:
        status = gateway.json("status")[0]
        assert status["not_in_force"][0].startswith("sources")
        assert status["mode"].pop("since")
        assert status["mode"] == {"set": "stopped", "now": "stopped", "why": "chosen", "until": None}
        (tmp_path / "schedule.yaml").write_text(NEVER + "# changed\n")
        assert gateway.json("status")[0]["files_changed"] == [str(tmp_path / "schedule.yaml")]
        assert "no relay configured" in gateway.run("status").stdout


@pytest.mark.parametrize("words", [("queue",), ("status",)])
def test_reading_commands_work_without_a_running_gateway(tmp_path: Path, words: tuple[str, ...]) -> None:
    gateway = Gateway(tmp_path, "mode: offline\n")
    with gateway:
        gateway.hand_in(letter())
    done = gateway.run(*words)
    assert done.returncode == 0, done.stderr
    assert "not running" in done.stderr
    assert gateway.run("send").returncode == 69


def test_c26_a_relay_that_is_this_gateway_itself_holds_the_message_and_says_so(tmp_path: Path) -> None:
    with Gateway(tmp_path, "mode: offline") as gateway:
        item = gateway.hand_in(letter())
        relays = f"relays:\n  - {{name: isp, host: 127.0.0.1, port: {gateway.port}, tls: none}}\n"
        gateway.config.write_text(gateway.config.read_text() + relays)
        assert gateway.run("reload").returncode == 0
        assert gateway.run("mode", "online").returncode == 0
        row = eventually(lambda: [row for row in gateway.queue() if row["state"] == "held"], "it is held")[0]
        assert len(gateway.queue()) == 1, "no second copy, no report"
        assert (row["id"], row["next_try"]["kind"]) == (item, "released")
        assert f"mail loop: the relay isp (127.0.0.1:{gateway.port}) is this gateway itself" in row["status"]
        assert gateway.logged(" alarm", "mail loop")
        assert gateway.logged(item, " held ")
