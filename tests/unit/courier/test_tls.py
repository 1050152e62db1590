import hashlib
import os
import random
from pathlib import Path

import pytest

from gateway.config.settings import RelaySettings
from gateway.courier.memory import RelayMemory
from gateway.courier.tls import TlsFailed, context_for, public_key_of
from tests.support.certificates import make_authority, make_server


@pytest.mark.parametrize("weak", [False, True], ids=["elliptic", "rsa"])
def test_the_public_key_is_found_in_a_certificate(tmp_path: Path, weak: bool) -> None:
    server = make_server(tmp_path, None, weak=weak)

    assert hashlib.sha256(public_key_of(server.der)).hexdigest() == server.pin


def test_a_certificate_that_is_cut_or_changed_is_an_error_or_another_key(tmp_path: Path) -> None:
    der = make_server(tmp_path, None).der
    chance = random.Random(7)

    for length in range(0, len(der), 5):
        with pytest.raises(ValueError):
            public_key_of(der[:length])
    for _ in range(2000):
        changed = bytearray(der)
        changed[chance.randrange(len(der))] = chance.randrange(256)
        try:
            key = public_key_of(bytes(changed))
        except ValueError:
            continue
        assert key in bytes(changed)


def test_random_octets_are_no_certificate() -> None:
    for _ in range(500):
        with pytest.raises(ValueError):
            public_key_of(b"\x30" + os.urandom(200))


def test_one_context_serves_until_the_settings_change(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    memory = RelayMemory()
    relay = RelaySettings("isp", "smtp.isp.test", ca=authority.path)

    first = context_for(relay, memory)
    again = context_for(relay, memory)
    os.utime(authority.path, (1, 1))
    renewed = context_for(relay, memory)

    assert first is again
    assert renewed is not first


def test_a_ca_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(TlsFailed, match="cannot be read"):
        context_for(RelaySettings("isp", "smtp.isp.test", ca=tmp_path / "missing"), RelayMemory())
