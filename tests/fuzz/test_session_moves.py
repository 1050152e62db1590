"""Any octets, read as the moves of a client, a disk and an operator, keep every promise of `tests.support.fuzzing`.

Bounded here; `contrib/proofs/fuzz` lets a coverage-guided fuzzer do the same for an hour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.reception.content import Inspection
from tests.support.fuzzing import PROFILES, WORDS, Stage, decode
from tests.support.wire import Wire

MAIL = [WORDS.index(word) for word in (b"EHLO client.example\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<d@e.f>\r\n")]
DATA, END = WORDS.index(b"DATA\r\n"), WORDS.index(b"\r\n.\r\n")
HI, BARE_LF, SPACE = WORDS.index(b"hi\r\n"), WORDS.index(b"\n"), WORDS.index(b" ")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        yield stage
        stage.close()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(range(len(PROFILES))), st.sampled_from([[], MAIL, [*MAIL, DATA, 0xF0]]), st.binary(max_size=80))
@example(1, [*MAIL, DATA, 0xF0], bytes([SPACE, HI, END]))  # a stranger's first line that would go on with our field
def test_any_moves_keep_the_promises(stage: Stage, profile: int, beginning: list[int], octets: bytes) -> None:
    stage.play_octets(bytes([profile, *beginning]) + octets)


def test_every_profile_can_hand_in_a_message_but_where_it_has_to_sign_in(stage: Stage) -> None:
    for number, profile in enumerate(PROFILES):
        course = stage.play_octets(bytes([number, *MAIL, DATA, 0xF0, HI, END]))
        has_handed_in = [("a@b.c", ("d@e.f",), b"hi\r\n\r\n")]
        must_sign_in = profile.listen.get("auth") == "required" or profile.raw
        assert course.stored == (() if must_sign_in else tuple(has_handed_in)), profile.name


def test_the_moves_of_a_disk_and_of_an_operator_are_played(stage: Stage) -> None:
    begun = bytes([0, *MAIL, DATA, 0xF0])
    assert b"452 4.3.1" in stage.play(*decode(begun + bytes([HI, 0xFA, HI, END]))).said
    assert b"451 4.3.0" in stage.play(*decode(begun + bytes([0xFB, HI, END]))).said
    assert stage.play(*decode(begun + bytes([HI, 0xF4]))).said.endswith(b"421 4.4.2 waited too long\r\n")
    assert b"421 4.3.2" in stage.play(*decode(bytes([0, 0, 0xFD]))).said
    assert stage.play(*decode(begun + bytes([0xFC, HI, END, 0xF6]))).was_reset


def test_a_broken_promise_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = bytes([1, *MAIL, DATA, 0xF0])
    with monkeypatch.context() as broken:
        broken.setattr(Inspection, "_take", lambda self, piece: piece)  # nobody looks at line ends any more
        with pytest.raises(AssertionError, match="a bare CR or LF"):
            stage.play_octets(begun + bytes([HI, BARE_LF, HI, END]))
    with monkeypatch.context() as broken:
        broken.setattr("gateway.reception.policy.judge_recipient", lambda *_: None)
        outside = WORDS.index(b"RCPT TO:<z@elsewhere.example>\r\n")
        with pytest.raises(AssertionError, match="relayed to"):
            stage.play_octets(bytes([1, *MAIL[:2], outside, DATA, 0xF0, HI, END]))
    with monkeypatch.context() as broken:
        broken.setattr(Wire, "write", lambda self, octets: None)  # a reply that is lost
        with pytest.raises(AssertionError):
            stage.play_octets(begun + bytes([HI, END]))
    stage.play_octets(begun + bytes([HI, END]))
