"""`sendmail`, `mailq` and `newaliases` as the programs of a machine call them, with the gateway up and down."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.answering import answering
from tests.support.gateway import Gateway, eventually
from tests.support.relaythread import RelayThread

ROOT = Path(__file__).resolve().parents[2]
LETTER = "To: ops@hq.example\nBcc: secret@hq.example\nSubject: report\n\nline one\n.line two\n"


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def call(
    gateway: Gateway, *words: str, text: str | bytes = "", program: str = "sendmail"
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gateway", program, *words]
    octets = text.encode() if isinstance(text, str) else text
    told = environ(TIDEGATE_CONFIG=str(gateway.config))
    return subprocess.run(command, input=octets, capture_output=True, env=told, timeout=60, check=False)


def drop_files(gateway: Gateway) -> list[str]:
    folder = gateway.spool / "drop"
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_message_handed_in_while_the_gateway_is_down_is_sent_when_it_is_up(tmp_path: Path) -> None:
    with RelayThread() as relay:
        gateway = Gateway(tmp_path, "mode: online\n" + relay.settings)
        with gateway:
            pass  # now there is a spool
        done = call(gateway, "-t", "-i", "-f", "anna@branch.example", text=LETTER)
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(drop_files(gateway)) == 1
        with gateway:
            message = eventually(lambda: relay.messages, "it left")[0]
            assert (message.sender, message.recipients) == (
                "anna@branch.example",
                ["ops@hq.example", "secret@hq.example"],
            )
            header, _, body = message.octets.partition(b"\r\n\r\n")
            assert body == b"line one\r\n.line two\r\n"
            assert b"secret" not in header
            assert header.startswith(b"Received: by gw.branch.example (Tidegate ")
            for name in (b"\r\nFrom: anna@branch.example\r\n", b"\r\nDate: ", b"\r\nMessage-ID: <", b"\r\nTo: ops@hq"):
                assert name in header + b"\r\n"
            assert drop_files(gateway) == []
            eventually(lambda: gateway.logged("received", "service=sendmail"), "the log says who")


def test_a_running_gateway_has_the_message_when_sendmail_ends(tmp_path: Path) -> None:
    with Gateway(tmp_path, "mode: offline\nclasses:\n  - {class: urgent, header: 'Subject: report'}\n") as gateway:
        done = call(
            gateway,
            "-F",
            "Anna Nová",
            "-N",
            "failure",
            "-R",
            "hdrs",
            "-V",
            "id 7",
            "ops",
            text="Subject: report\n\nx\n",
        )
        assert (done.returncode, done.stderr) == (0, b"")
        [row] = gateway.queue()
        assert (row["to"], row["class"]) == (["ops@gw.branch.example"], "urgent")
        assert row["from"].endswith("@gw.branch.example")
        shown = gateway.json("show", row["id"])[0]
        assert shown["recipients"][0]["notify"] == "FAILURE"
        assert (shown["ret"], shown["envid"], shown["service"]) == ("HDRS", "id+207", "sendmail")
        assert "=?utf-8?b?" in shown["header"]
        assert drop_files(gateway) == []


def test_a_gateway_that_stands_still_costs_no_message(tmp_path: Path) -> None:
    with Gateway(tmp_path, "mode: offline\n") as gateway:
        os.kill(gateway.pid, signal.SIGSTOP)
        try:
            done = call(gateway, "ops@hq.example", text="Subject: x\n\nx\n")
            assert done.returncode == 0
            assert len(drop_files(gateway)) == 1
        finally:
            os.kill(gateway.pid, signal.SIGCONT)
        eventually(lambda: len(gateway.queue()) == 1, "it was taken in")
        assert drop_files(gateway) == []


def test_kill_at_any_moment_loses_nothing_that_ended_with_zero(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "mode: stopped\n")
    handed = 0
    for turn in range(4):
        gateway.start()
        calls = [
            subprocess.Popen(
                [sys.executable, "-m", "gateway", "sendmail", "-i", "ops@hq.example"],
                stdin=subprocess.PIPE,
                env=environ(TIDEGATE_CONFIG=str(gateway.config)),
            )
            for _ in range(4)
        ]
        for n, one in enumerate(calls):
            assert one.stdin is not None
            one.stdin.write(f"Subject: {turn}.{n}\n\nx\n".encode())
            one.stdin.close()
        calls[turn].wait(30)
        gateway.kill()
        handed += sum(one.wait(30) == 0 for one in calls)
    with gateway:
        eventually(lambda: not drop_files(gateway), "all was taken in")
        subjects = [row["id"] for row in gateway.queue()]
        assert handed == 16
        assert 16 <= len(subjects) <= 20  # at most one extra copy a kill


@pytest.mark.parametrize(
    ("words", "text", "code", "why"),
    [
        ((), "x", 64, "no recipients"),
        (("-t",), "Subject: x\n\n", 65, "no recipients"),
        (("a b@c.example",), "x", 65, "not an address"),
        (("-Z", "a@b.example"), "x", 64, "not an option"),
        (("a@b.example",), "x" * 2100, 65, "larger than 2000"),
        (("a@b.example", "c@b.example", "d@b.example"), "x", 65, "at most 2"),
        (("-bd",), "", 64, "tidegate serve"),
    ],
)
def test_what_is_not_taken_ends_with_its_code_and_a_sentence(
    tmp_path: Path, words: tuple[str, ...], text: str, code: int, why: str
) -> None:
    gateway = Gateway(tmp_path, "accept: {max_message: 2 kB, max_recipients: 2}\n")
    gateway.spool.mkdir()
    done = call(gateway, *words, text=text)
    assert done.returncode == code
    assert why in done.stderr.decode()
    assert done.stderr.decode().count("sendmail: ") == 1
    assert drop_files(gateway) == []


def test_without_a_spool_and_a_listener_the_message_stays_with_the_caller(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    done = call(gateway, "a@b.example", text="x\n")
    assert done.returncode == 75
    assert "there is no spool" in done.stderr.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_speaks_smtp_to_the_gateway_and_is_told_plainly_when_it_is_down(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = Gateway(tmp_path, "mode: offline\n")
    gateway.config.write_text(gateway.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    # The interpreter's own files are not every user's to read, so the modules are loaded before the user changes.
    script = (
        "import os, sys, ipaddress, pwd\n"
        "from gateway.cli import sendmail, sendmail_handing, sendmail_dialogue\n"
        f"text = open({str(gateway.config)!r}).read()\n"
        "from gateway.config import brief\n"
        f"known = brief.parse_brief(text, {str(tmp_path)!r})\n"
        "sendmail.read_brief = lambda path: known\n"
        "'x'.encode('idna')\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "sys.exit(sendmail.run('sendmail', sys.argv[1:]))\n"
    )

    def as_nobody(*words: str, text: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *words]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, env=environ(), timeout=60, check=False
        )

    with gateway:
        done = as_nobody("-f", "", "-B", "8BITMIME", "-N", "never", "ops@hq.example", text="Subject: x\n\n.dot\n")
        assert (done.returncode, done.stderr) == (0, "")
        [row] = gateway.queue()
        assert (row["from"], row["to"]) == ("", ["ops@hq.example"])
        shown = gateway.json("show", row["id"])[0]
        assert (shown["body"], shown["recipients"][0]["notify"], shown["client"]) == ("8BITMIME", "NEVER", "127.0.0.1")
        gateway.config.write_text(gateway.config.read_text() + "accept: {networks: [192.0.2.0/24]}\n")
        assert gateway.run("reload").returncode == 0
        refused = as_nobody("-f", "a@b.example", "ops@hq.example", text="x\n")
        assert (refused.returncode, "ops@hq.example: 550 5.7.1" in refused.stderr) == (77, True)
    done = as_nobody("ops@hq.example", text="Subject: x\n\nx\n")
    assert done.returncode == 75
    assert "only root" in done.stderr or "closed to user" in done.stderr
    assert "nobody answers" in done.stderr
    spoken = as_nobody("-bs", text="EHLO x\r\n")
    assert spoken.stdout.startswith("421 ")
    assert spoken.returncode != 0


def test_bs_speaks_through_to_the_gateway_and_by_itself_when_it_is_down(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = Gateway(tmp_path, "mode: offline\n")
    gateway.config.write_text(gateway.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    words = (
        "EHLO pc\r\nMAIL FROM:<a@b.example> BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e f>\r\n"
        "DATA\r\nSubject: bs\r\n\r\n..dot\r\n\n.\nno end\r\n.\r\nNOOP\r\nQUIT\r\n"
    )
    with gateway:
        done = call(gateway, "-bs", text=words)
        assert done.returncode == 0
        assert [line[:3] for line in done.stdout.decode().splitlines() if line[3:4] == " "][-1] == "221"
        assert b"queued as" in done.stdout
        [first] = gateway.queue()
    done = call(gateway, "-bs", text=words)
    assert done.returncode == 0
    last = [line[:3] for line in done.stdout.decode().splitlines() if line[3:4] == " "]
    assert last == ["220", "250", "250", "250", "501", "354", "250", "250", "221"]
    with gateway:
        eventually(lambda: len(gateway.queue()) == 2, "both are there")
        second = next(row for row in gateway.queue() if row["id"] != first["id"])
        assert (second["from"], second["to"]) == ("a@b.example", ["c@d.example"])
        content = gateway.spool / "queue" / f"{second['id']}.eml"
        octets = eventually(lambda: content.exists() and content.read_bytes(), "its pair is made")
        assert octets.partition(b"\r\n\r\n")[2] == b".dot\r\n\r\n.\r\nno end\r\n"


def test_mailq_prints_the_queue_as_scripts_know_it(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "mode: offline\n")
    with gateway:
        assert call(gateway, program="mailq").stdout == b"Mail queue is empty\n"
        call(
            gateway, "-f", "anna@branch.example", "ops@hq.example", "b@hq.example", text="Subject: x\n\n" + "x\n" * 1000
        )
        printed = call(gateway, "-bp").stdout.decode()
    lines = printed.splitlines()
    item = lines[1].split()[0]
    assert lines[0] == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
    assert lines[1].split()[-1] == "anna@branch.example"
    assert lines[1][len(item) :].split()[1] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert [line.strip() for line in lines[3:5]] == ["ops@hq.example", "b@hq.example"]
    assert lines[-1] == "-- 3 Kbytes in 1 Request."
    call(gateway, "later@hq.example", text="Subject: x\n\nx\n")
    down = call(gateway, program="mailq")
    assert item in down.stdout.decode()
    assert "later@hq.example" in down.stdout.decode()
    assert "not running" in down.stderr.decode()
    assert down.stdout.decode().splitlines()[-1].endswith("in 2 Requests.")


def test_q_sends_the_queue_and_newaliases_succeeds(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: offline\n" + relay.settings) as gateway:
        assert call(gateway, program="newaliases").returncode == 0
        assert call(gateway, "-bi").returncode == 0
        nothing = call(gateway, "-q")
        assert (nothing.returncode, nothing.stderr) == (0, b"sendmail: the queue is empty\n")
        for name in ("one", "two", "three"):
            assert call(gateway, f"{name}@hq.example", text="Subject: x\n\nx\n").returncode == 0
        first = gateway.queue("to:one")[0]["id"]
        assert call(gateway, f"-qI{first}").returncode == 0
        eventually(lambda: len(relay.messages) == 1, "one left")
        assert call(gateway, "-qRtwo@hq.example").returncode == 0
        eventually(lambda: len(relay.messages) == 2, "two left")
        assert call(gateway, "-q").returncode == 0
        eventually(lambda: len(relay.messages) == 3, "the rest left")
    assert call(gateway, "-q").returncode == 69


@pytest.mark.parametrize("name", ["sendmail", "mailq", "newaliases"])
def test_a_link_to_the_program_is_the_program_of_its_name(tmp_path: Path, name: str) -> None:
    gateway = Gateway(tmp_path)
    gateway.spool.mkdir()
    script = tmp_path / "tidegate"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom gateway.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    link = tmp_path / name
    link.symlink_to(script)
    told = environ(TIDEGATE_CONFIG=str(gateway.config))
    done = subprocess.run(
        [str(link), *(["-t"] if name == "sendmail" else [])],
        input=LETTER,
        capture_output=True,
        text=True,
        env=told,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(drop_files(gateway)) == (1 if name == "sendmail" else 0)
    if name == "mailq":
        assert done.stdout == "Mail queue is empty\n"


PROBE = """
import json, resource, sys
from gateway.cli.main import main
code = main()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "asyncio": "asyncio" in sys.modules, "heavy": sorted(
    {"msgspec", "yaml", "argparse", "email", "dataclasses"} & set(sys.modules)), "cpu": used.ru_utime + used.ru_stime}))
"""


@pytest.mark.parametrize("words", [("sendmail", "-t", "-i"), ("mailq",), ("sendmail", "-bp")])
def test_it_starts_in_under_60_ms_of_cpu_and_never_loads_asyncio(words: tuple[str, ...], tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.spool.mkdir()
    told = environ(TIDEGATE_CONFIG=str(gateway.config), PYTHONPYCACHEPREFIX=str(tmp_path / "compiled"))
    told.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: compiled once, then only loaded
    results = []
    with answering(gateway.spool / "control.sock", b'{"end": true}\n'):
        for _ in range(6):
            done = subprocess.run(
                [sys.executable, "-c", f"import sys; sys.argv = {list(words)}\n{PROBE}"],
                input=LETTER,
                capture_output=True,
                text=True,
                env=told,
                timeout=60,
                check=True,
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    assert {result["code"] for result in results} == {0}
    assert not any(result["asyncio"] for result in results)
    assert results[-1]["heavy"] == []
    assert min(result["cpu"] for result in results) < 0.060


def test_smtp_and_sendmail_side_by_side_take_every_message_once(tmp_path: Path) -> None:
    with Gateway(tmp_path, "mode: stopped\n") as gateway:
        for n in range(3):
            assert call(gateway, "ops@hq.example", text=f"Subject: {n}\n\nx\n").returncode == 0
            with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as client:
                client.sendmail("a@b.example", ["c@d.example"], b"Subject: x\r\n\r\nx\r\n")
        assert len(gateway.queue()) == 6
