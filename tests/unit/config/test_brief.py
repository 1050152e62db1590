"""The quick look into gateway.yaml says what the whole reading says, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.brief import Brief, _whole, parse_brief, read_brief
from gateway.errors import ConfigurationError

PLAIN = [
    "",
    "hostname: gw.brno.example.net\nspool: /var/spool/tidegate\n",
    "# a comment\nspool: mail   # here\nmode: offline\n",
    "spool: \"with space\"\nhostname: 'gw.x'\n",
    "listen:\n  - address: 0.0.0.0:25\n  - address: 127.0.0.1:587\n",
    'listen:\n- address: "[::1]:25"\n',
    "listen:\n  - {address: 192.168.7.1:25, networks: [192.168.7.0/24]}\n  - {address: 127.0.0.1:2525, tls: none}\n",
    "accept: {networks: [127.0.0.0/8], max_message: 5 MB, max_recipients: 10}\n",
    "accept:\n  networks: [127.0.0.0/8]\n  max_message: 5 MB   # enough\n  max_recipients: 10\n",
    "accept:\n  max_message: 5 MB\n  max_messages_per_client: none    # per hour\n",
    "accept:\n  max_message: 500kB\nqueue: {reserve: 7 %}\n",
    "queue:\n  reserve: 300 MB\n  retry_interval: 5 min\n",
    "listen:\n  - address: 127.0.0.1:0\n",
    "listen:        # who may come in\n  - address: 0.0.0.0:25   # printers\n\n  # people's\n"
    "  - address: 0.0.0.0:587\n    tls: none  # none's\n",
    'listen: [{address: "127.0.0.1:25", networks: [127.0.0.0/8, 10.0.0.0/8]}, {address: 192.168.7.1:26}]  # both\n',
    "listen: [ { address: 127.0.0.1:25 } ]\n",
]

ODD = [
    "{spool: x}\n",
    "spool: x\nspool: y\n",
    "spool:\n  x\n",
    "spool: &a x\n",
    "hostname: bad name\n",
    "accept: {max_message: 1.5 MB}\n",
    "accept:\n  max_message:\n    5 MB\n",
    "listen: [{address: '127.0.0.1:25'}]\n",
    "listen: [{address: 127.0.0.1:25},\n  {address: 127.0.0.1:26}]\n",
    "listen: [{address: 127.0.0.1:25} {address: 127.0.0.1:26}]\n",
    "listen: [127.0.0.1:25]\n",
    "listen: {address: 127.0.0.1:25}\n",
    'listen:\n  - address: "127.0.0.1:25 # x"\n',
    "listen:\n  - address: 127.0.0.1:25#x\n",
    "\tspool: x\n",
    "%YAML 1.1\n---\nspool: x\n",
    "accept: {max_message: lots}\n",
]


def as_values(brief: Brief) -> tuple[object, ...]:
    return (brief.spool, brief.hostname, brief.max_message, brief.max_recipients, brief.listeners, brief.reserve)


def outcome(read: Callable[[], Brief]) -> object:
    """What was read, or the mistakes as they are told."""
    try:
        return as_values(read())
    except ConfigurationError as mistakes:
        return str(mistakes)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_written_plainly_is_read_as_the_whole_file_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    quick = parse_brief(text, str(tmp_path))
    assert quick is not None
    assert as_values(quick) == as_values(_whole(str(path)))


@pytest.mark.parametrize("text", ODD)
def test_what_is_written_otherwise_is_left_to_the_whole_reading(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    assert parse_brief(text, str(tmp_path)) is None
    assert outcome(lambda: read_brief(str(path))) == outcome(lambda: _whole(str(path)))


def test_every_example_of_the_readme_is_written_plainly() -> None:
    readme = Path(__file__).parents[3].joinpath("README.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert len(examples) > 5
    for example in examples:
        assert parse_brief(example, "/x") is not None, example


def test_listeners_that_a_program_cannot_use_are_left_out_and_loopback_comes_first() -> None:
    text = (
        "listen:\n  - address: 192.168.7.1:25\n  - address: 0.0.0.0:587\n    tls: starttls\n    auth: required\n"
        "  - address: 0.0.0.0:465\n    tls: implicit\n  - address: 0.0.0.0:2525\n    tls: starttls\n    auth: optional\n"
    )
    brief = parse_brief(text, "/x")
    assert brief is not None
    assert brief.listeners == (("127.0.0.1", 2525), ("192.168.7.1", 25))


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_brief(str(tmp_path / "none.yaml"))
