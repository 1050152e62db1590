"""A listener promises nothing that the rest of gateway.yaml does not provide."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import parse_settings

TLS = "tls: {certificate: a.pem, key: a.key}\n"
USERS = "accept: {users: users.yaml}\n"
LISTEN = "listen:\n  - address: 0.0.0.0:587\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        (LISTEN + "    tls: starttls\n", 3, 10, "needs a certificate"),
        (LISTEN + "    tls: starttls\n    auth: required\n" + TLS, 4, 11, "needs users"),
        (LISTEN + "    auth: optional\n" + TLS + USERS, 3, 11, "only inside TLS"),
    ],
)
def test_what_a_listener_lacks_is_told_at_its_place(text: str, line: int, column: int, what: str) -> None:
    _, problems = parse_settings(text, Path("gateway.yaml"))
    assert [(problem.line, problem.column) for problem in problems] == [(line, column)]
    assert what in problems[0].what


def test_a_listener_with_all_it_needs_is_in_force() -> None:
    text = LISTEN + "    tls: starttls\n    auth: required\n" + TLS + "accept: {users: users.yaml, senders: own}\n"
    settings, problems = parse_settings(text, Path("/etc/tidegate/gateway.yaml"))
    assert problems == []
    assert settings is not None
    assert settings.not_in_force == ()
    assert (settings.listen[0].tls, settings.listen[0].auth) == ("starttls", "required")
    assert settings.accept.users == Path("/etc/tidegate/users.yaml")
