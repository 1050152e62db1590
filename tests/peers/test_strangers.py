"""What strangers and people with passwords get, as nmap's and swaks's own eyes see it (CASES S44 to S49; P13).

`contrib/proofs/strangers` lets nmap, testssl and sslyze do all they can, by hand.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.gateway import Gateway
from tests.support.servertls import make_listener_certificate
from tests.support.users import write_users

SETTINGS = """\
  - {{address: "127.0.0.1:{port}", tls: starttls, auth: required}}
mode: stopped
tls: {{certificate: localhost.pem, key: localhost.pem}}
accept: {{networks: [127.0.0.9/32], users: users.yaml, senders: own, domains: [branch.example]}}
inside: {{host: 127.0.0.1, port: 9}}
"""


class Ports(NamedTuple):
    plain: int
    secure: int


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    for program in ("nmap", "swaks"):
        if shutil.which(program) is None:
            assert "TIDEGATE_LABS_REQUIRED" not in os.environ, f"{program} is not installed"
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("strangers")
    make_listener_certificate(folder)
    write_users(folder / "users.yaml", {"anna@branch.example": "correct horse"})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Gateway(folder, SETTINGS.format(port=port)) as gateway:
        yield Ports(gateway.port, port)


def swaks(port: int, *words: str, source: str = "127.0.0.2") -> str:
    """What was said, and at its end `exit N`."""
    command = [
        "swaks",
        "--server",
        "127.0.0.1",
        "--port",
        str(port),
        "--local-interface",
        source,
        "--helo",
        "x.example",
    ]
    done = subprocess.run([*command, *words], input="", capture_output=True, text=True, timeout=60, check=False)
    return f"{done.stdout}{done.stderr}\nexit {done.returncode}"


def signed(ports: Ports, *words: str, password: str = "correct horse") -> str:
    who = ("--auth-user", "anna@branch.example", "--auth-password", password, "--from", "anna@branch.example")
    return swaks(ports.secure, *who, "--to", "c@hq.example", "--pipeline", *words, source="127.0.0.3")


def test_nmap_finds_no_open_relay(ports: Ports) -> None:
    command = ["nmap", "-Pn", "-n", "-p", f"{ports.plain},{ports.secure}", "--script", "+smtp-open-relay"]
    command += ["--script-args", "smtp-open-relay.domain=victim.example", "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = {line.partition(": ")[2] for line in done.stdout.splitlines() if "smtp-open-relay" in line}
    assert found == {
        "Server doesn't seem to be an open relay, all tests failed",
        "Server isn't an open relay, authentication needed",
    }, done.stdout


def test_a_stranger_may_write_to_the_branch_and_to_nobody_else(ports: Ports) -> None:
    to = ("--from", "a@b.example", "--pipeline", "--to")
    assert " 550 5.7.1 relaying denied" in swaks(ports.plain, *to, "c@victim.example")
    assert swaks(ports.plain, *to, "lucie@branch.example").endswith("exit 0")
    assert swaks(ports.plain, *to, "c@hq.example", source="127.0.0.9").endswith("exit 0")  # the office


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_who_signs_in_over_tls_may_write_to_the_world_from_own_addresses(ports: Ports, mechanism: str) -> None:
    assert signed(ports, "--tls", "--auth", mechanism).endswith("exit 0")
    foreign = signed(ports, "--tls", "--auth", mechanism, "--from", "boss@b.example")
    assert " 550 5.7.1 this sender address is not yours" in foreign
    assert "queued as" not in foreign


def test_a_wrong_password_ends_it_and_without_tls_none_is_asked_for_and_none_told(ports: Ports) -> None:
    wrong = signed(ports, "--tls", "--auth", "PLAIN", password="wrong")
    assert " 535 5.7.8 name or password is wrong" in wrong
    naked = signed(ports, "--auth", "PLAIN")
    assert "AUTH PLAIN" not in naked
    for said in (wrong, naked):
        assert "queued as" not in said
