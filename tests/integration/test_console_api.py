"""`/api/v1` does what its OpenAPI document says, whatever it is asked; what the console adds to the operations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.console import PASSWORD, ConsoleGateway
from tests.support.evening import evening_zone
from tests.support.gateway import eventually, letter
from tests.support.relaythread import RelayThread

PHASES = "examples,coverage,fuzzing" if os.environ.get("TIDEGATE_LONG") else "examples,coverage"
"""Requests that cover the document; with TIDEGATE_LONG=1 also ten random ones to each operation."""

SCHEDULE = f"""\
timezone: {evening_zone()}
windows:
  - name: Day
    days: mon-fri
    open: 08:00-18:00
    every: 30 min
    for: 5 min
    send: urgent, normal
    max_message: 2 MB
  - name: Night
    open: 22:00-05:00
exceptions:
  - name: Work
    dates: 2026-11-26
    closed: 22:00-24:00
"""

CONFIG = """\
[parameters]
"path.id" = "{id}"

# Filters and schedules have grammars that JSON Schema cannot tell: 422, with the place of the mistake.
[[operations]]
include-path-regex = "^/(queue|queue.csv|schedule|preview|hold|release|remove)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
"""


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Requests made from the document, right ones and wrong ones; every answer is as the document says."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    program = Path(sys.executable).with_name("schemathesis")
    with ConsoleGateway(tmp_path / "gateway", "mode: offline\n", SCHEDULE) as gateway:
        gateway.set_password()
        ids = [gateway.hand_in(letter(str(n))) for n in range(3)]
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(id=ids[0]))
        document = f"http://localhost:{gateway.console_port}/api/v1/openapi.json"
        command = [str(program), "run", document, "--auth", f"operator:{PASSWORD}", "--exclude-path", "/events"]
        # (A stream has no end, so nobody can wait for it: its answers have tests of their own.)
        command += ["--phases", PHASES, "--max-examples", "10", "--seed", "1", "--no-color"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env={**os.environ, "CI": "1"},
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert not gateway.logged("alarm", "about=console")


def test_pages_of_the_queue_are_sorted_filtered_and_cut(tmp_path: Path) -> None:
    relays = "relays:\n  - {name: isp, host: 127.0.0.1, port: 9, tls: none}\n"
    with ConsoleGateway(tmp_path, "mode: offline\n" + relays, SCHEDULE) as gateway:
        ids = [gateway.hand_in(letter(str(n), "x" * n * 100 + "\r\n"), sender=f"u{n}@b.example") for n in range(6)]
        browser = gateway.browser()

        def page(words: str) -> list[str]:
            answer = browser.get(f"/api/v1/queue?{words}")
            assert answer.status == 200, answer.text
            return [row["id"] for row in answer.json()["rows"]]

        assert page("sort=size&order=asc") == ids
        assert page("sort=id&order=desc&limit=2") == ids[:-3:-1]
        assert page("sort=id&order=asc&limit=2&offset=2") == ids[2:4]
        assert page("sort=from&order=asc") == ids
        assert page("filter=from:u3") == [ids[3]]
        assert page("filter=size%3E100B&sort=size&order=asc&limit=1") == [ids[0]]
        assert set(page("show=window&window=Night")) | set(page("show=window&window=Day")) == set(ids)
        assert page("show=held") == []
        twins = [gateway.hand_in(letter("again"), sender="scan@b.example") for _ in range(2)]
        rows = browser.get("/api/v1/queue?sort=id&order=desc").json()["rows"]
        assert [row["status"].rpartition("; ")[2] for row in rows[:2]] == [f"twin of {item}" for item in twins]
        assert not any("twin" in row["status"] for row in rows[2:])
        assert gateway.run("remove", *twins).returncode == 0
        browser.load()
        assert browser.post("/hold", {"ids": [ids[1]], "note": "wait"}).json()["results"] == {"held": 1}
        assert page("show=held") == [ids[1]]
        for bad, status in (
            ("filter=size:", 422),
            ("limit=0", 400),
            ("limit=501", 400),
            ("order=up", 400),
            ("offset=1&offset=2", 400),
            ("colour=red", 400),
        ):
            assert browser.get(f"/api/v1/queue?{bad}").status == status


def test_a_preview_says_what_an_action_would_do_and_does_nothing(tmp_path: Path) -> None:
    with RelayThread() as relay, ConsoleGateway(tmp_path, "mode: offline\n" + relay.settings, SCHEDULE) as gateway:
        ids = [gateway.hand_in(letter(str(n))) for n in range(3)]
        browser = gateway.browser()
        browser.load()
        preview = browser.post("/preview", {"action": "send", "all": True}).json()
        assert (preview["messages"], preview["going"], preview["relay"]) == (3, 3, "isp")
        assert preview["octets"] == preview["going_octets"] > 0
        removal = browser.post("/preview", {"action": "remove", "ids": ids[:2]}).json()
        assert removal["messages"] == 2
        assert len(gateway.queue()) == 3
        assert not relay.messages
        assert browser.post("/send", {}).json()["messages"] == 3
        eventually(lambda: len(relay.messages) == 3, "sent")
        sessions = eventually(lambda: browser.get("/api/v1/sessions").json(), "the session is recorded")
        assert (sessions[0]["sent"], sessions[0]["end"]) == (3, "done")
        hours = browser.get("/api/v1/traffic").json()
        assert len(hours) == 24
        assert sum(hour["octets_out"] for hour in hours) == sessions[0]["octets_out"] > 0


def test_sessions_are_remembered_over_a_restart(tmp_path: Path) -> None:
    with RelayThread() as relay:
        gateway = ConsoleGateway(tmp_path, "mode: online\n" + relay.settings)
        with gateway:
            gateway.hand_in(letter())
            eventually(lambda: gateway.browser().get("/api/v1/sessions").json(), "a session")
            eventually(lambda: gateway.logged(" session "), "it is over")
        with gateway:
            rows = gateway.browser().get("/api/v1/sessions").json()
            assert [row["sent"] for row in rows] == [1]


def test_changes_reach_an_open_page_at_once(tmp_path: Path) -> None:
    with RelayThread() as relay, ConsoleGateway(tmp_path, "mode: offline\n" + relay.settings, SCHEDULE) as gateway:
        browser = gateway.browser()
        browser.load()
        stream = browser.events()
        stream.wait_for("hello")
        stream.wait_for("overview")
        item = gateway.hand_in(letter())
        rows = stream.wait_for("rows")
        assert [row["id"] for row in rows["rows"]] == [item]
        assert stream.wait_for("overview")["overview"]["queue"]["messages"] == 1
        browser.post("/hold", {"ids": [item]})
        assert stream.wait_for("rows")["rows"][0]["state"] == "held"
        browser.post("/mode", {"mode": "stopped"})
        stream.wait_for("stale")
        browser.post("/remove", {"ids": [item]})
        while not stream.wait_for("rows")["gone"]:
            pass
        stream.close()


def test_the_schedule_is_shown_checked_and_put_in_force_with_its_comments(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n", SCHEDULE) as gateway:
        browser = gateway.browser()
        browser.load()
        report = browser.get("/api/v1/schedule?week=2026-11-25").json()
        assert report["first_day"] == "2026-11-25"
        thursday = report["days"][1]
        assert [closed["name"] for closed in thursday["closed"]] == ["Work"]
        assert [(row["name"], row["line"], row["end_line"]) for row in report["windows"]] == [
            ("Day", 3, 9),
            ("Night", 10, 11),
            ("Work", 13, 15),
        ]
        text = report["text"].replace("max_message: 2 MB", "max_message: 5 MB  # since May")
        checked = browser.post("/schedule/check", {"text": text}).json()
        assert checked["is_valid"]
        assert "Night" in checked["echo"]
        mode = (tmp_path / "schedule.yaml").stat().st_mode
        written = browser.post("/schedule", {"text": text, "version": report["version"]}, method="PUT")
        assert written.status == 200
        assert (tmp_path / "schedule.yaml").read_text() == text
        assert (tmp_path / "schedule.yaml").stat().st_mode == mode
        assert not gateway.json("status")[0]["files_changed"]


def test_ready_says_what_is_wrong_and_a_line_that_is_down_is_not(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n", SCHEDULE) as gateway:
        browser = gateway.browser()
        assert browser.get("/healthz").text == "alive\n"
        assert browser.get("/readyz").text == "ready\n"
        (tmp_path / "schedule.yaml").write_text("timezone: Nowhere\n")
        answer = browser.get("/readyz")
        assert answer.status == 503
        assert "the schedule file has mistakes" in answer.text


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    with RelayThread() as relay, ConsoleGateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        gateway.hand_in(letter())
        eventually(lambda: relay.messages, "sent")
        wanted = 'tidegate_deliveries_total{relay="isp",result="delivered"} 1'
        text = eventually(lambda: (t := gateway.browser().get("/metrics").text) and wanted in t and t, "counted")
        assert "tidegate_received_messages_total 1" in text
        assert 'tidegate_mode{mode="online"} 1' in text


def test_without_a_console_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    from tests.support.gateway import Gateway

    with Gateway(tmp_path, "mode: offline\n") as gateway:
        maps = Path(f"/proc/{gateway.pid}/maps").read_text()
        assert "markupsafe" not in maps
        assert gateway.hand_in(letter())


def test_an_address_that_is_taken_is_an_alarm_and_mail_goes_on(tmp_path: Path) -> None:
    import socket

    from tests.support.gateway import Gateway

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Gateway(tmp_path, f"console: {{address: 127.0.0.1:{port}}}\nmode: offline\n") as gateway:
            eventually(lambda: gateway.logged("alarm", "about=console", "cannot listen"), "it is told")
            assert gateway.hand_in(letter())


def test_a_reload_opens_moves_and_closes_the_console(tmp_path: Path) -> None:
    from tests.support.gateway import Gateway

    with Gateway(tmp_path, "mode: offline\n") as gateway:
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        plain = gateway.config.read_text()
        gateway.config.write_text(plain + f"console: {{address: 127.0.0.1:{port}}}\n")
        assert gateway.run("reload").returncode == 0

        def answers() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        eventually(answers, "it is served")
        gateway.config.write_text(plain)
        assert gateway.run("reload").returncode == 0
        eventually(lambda: not answers(), "it is closed")
