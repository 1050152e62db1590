"""Which mode is in force, and why (DESIGN 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.settings import LinkKind, ModeName
from gateway.connectivity.mode import judge_mode
from gateway.connectivity.state import LinkState


def link(name: str, kind: LinkKind = "permanent", *, up: bool = True, usable: bool = True, why: str = "") -> LinkState:
    return LinkState(name, kind, "eth0", up, up, up, usable, why, 0.0)


@pytest.mark.parametrize("chosen", ["online", "offline", "stopped"])
def test_what_an_operator_chose_is_in_force_whatever_the_links_say(chosen: ModeName) -> None:
    assert judge_mode(chosen, [])[0] == chosen
    assert judge_mode(chosen, [link("dsl")])[0] == chosen


def test_auto_is_online_with_a_usable_permanent_link() -> None:
    mode, why = judge_mode("auto", [link("dsl", usable=False), link("fibre", why="the relay answers")])
    assert mode == "online"
    assert why == "fibre is usable: the relay answers"


def test_auto_is_offline_with_everything_else() -> None:
    assert judge_mode("auto", []) == ("offline", "no permanent link")
    assert judge_mode("auto", [link("lte", "metered"), link("modem", "dialled")])[0] == "offline"
    told = replace(link("lte", "metered"), kind_said_by="NetworkManager")
    assert judge_mode("auto", [told]) == ("offline", "lte is metered, says NetworkManager")
    mode, why = judge_mode("auto", [link("dsl", usable=False, why="smtp.hq.example does not answer")])
    assert (mode, why) == ("offline", "dsl: smtp.hq.example does not answer")
    assert judge_mode("auto", [link("dsl", up=False, usable=True)])[0] == "offline"
