"""`tidegate user` beside a running gateway: who was added may sign in at once, who was removed may not."""

from __future__ import annotations

import os
import smtplib
import subprocess
import sys
from pathlib import Path

from tests.support.gateway import Gateway
from tests.support.servertls import make_listener_certificate


def user(gateway: Gateway, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "user", *words, "-c", str(gateway.config)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(command, input=typed, capture_output=True, text=True, env=environ, timeout=60, check=False)


def test_users_come_and_go_while_the_gateway_runs(tmp_path: Path) -> None:
    certificate = make_listener_certificate(tmp_path)
    settings = (
        "    tls: starttls\n    auth: optional\n"
        f"tls: {{certificate: {certificate.settings.certificate}, key: {certificate.settings.key}}}\n"
        "accept: {users: users.yaml}\n"
    )
    gateway = Gateway(tmp_path, settings)
    context = certificate.client_context()
    context.check_hostname = False

    def sign_in(name: str, password: str) -> int:
        with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as client:
            client.starttls(context=context)
            try:
                return client.login(name, password)[0]
            except smtplib.SMTPAuthenticationError as refused:
                return refused.smtp_code

    done = user(gateway, "add", "anna", typed="one\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not running" in done.stdout
    with gateway:
        assert sign_in("anna", "one") == 235
        done = user(gateway, "add", "bert", typed="two\n")
        assert (done.returncode, done.stdout) == (0, "bert added; in force\n")
        assert sign_in("bert", "two") == 235
        assert user(gateway, "password", "bert", typed="three\n").returncode == 0
        assert sign_in("bert", "two") == 535
        assert sign_in("bert", "three") == 235
        assert user(gateway, "remove", "bert").returncode == 0
        assert sign_in("bert", "three") == 535
        assert not [line for line in gateway.log if "three" in line or "two" in line.split()]


def test_a_gateway_without_users_in_force_is_told_to_reload(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.config.write_text(gateway.config.read_text() + "accept: {users: users.yaml}\n")
        done = user(gateway, "add", "anna", typed="one\n")
        assert done.returncode == 0
        assert "tidegate reload" in done.stdout
