"""When the decision calls a line, and what it says where it does not."""

from __future__ import annotations

from dataclasses import replace

from gateway.config.settings import DialSettings, LinkSettings
from gateway.dispatch.decide import decide
from gateway.dispatch.facts import CallState, Check, Go, MessageFacts, NextTry, Raise, RelayTrouble, Situation, Wait
from tests.support.situations import HQ, ISP, LINE, at, message, settings, situation

MODEM = replace(LINE, name="modem", kind="dialled", interface="ppp0", up=False, usable=False, why="there is no ppp0")
ISDN = replace(MODEM, name="isdn", interface="ippp0")
DOWN = replace(LINE, up=False, usable=False)
DARK = replace(LINE, usable=False, why="smtp.isp.example does not answer")
DIALS = """\
timezone: Europe/Prague
windows:
  - {name: Day, open: 08:00-18:00, dial: yes}
  - {name: Night, open: 22:00-05:00}
"""


def branch(text: str = DIALS, now: str = "2026-11-24 12:00", **changes: object) -> Situation:
    made = situation(text, now, links=(MODEM,), calls={"modem": CallState()})
    dial = DialSettings(("pon",), ("poff",), within=90.0)
    links = (LinkSettings("modem", "ppp0", "dialled", dial=dial, line=12),)
    made = replace(made, settings=replace(settings(ISP, HQ), links=links))
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields of Situation


def reason(verdict: object) -> str:
    assert isinstance(verdict, Wait), verdict
    assert not isinstance(verdict, Raise), verdict
    return verdict.why


def calls(s: Situation, facts: MessageFacts | None = None) -> str:
    verdict = decide(facts or message(), s)
    assert isinstance(verdict, Raise), verdict
    return verdict.link


def test_a_window_that_dials_calls_the_line_and_explain_names_the_rule() -> None:
    checks: list[Check] = []
    verdict = decide(message(), branch(), checks)
    assert isinstance(verdict, Raise)
    assert (verdict.link, verdict.why) == ("modem", "modem is called")
    assert verdict.next_try == NextTry("window", at("2026-11-24 08:00"), "Day")
    check = next(check for check in checks if check.name == "dial")
    assert (check.state, check.text, check.line) == ("ok", "modem is called: Day calls", 12)


def test_a_window_that_does_not_dial_leaves_the_line_down_and_uses_it_where_it_is_up() -> None:
    s = branch(DIALS.replace(", dial: yes", ""))
    checks: list[Check] = []
    assert reason(decide(message(), s, checks)) == "link down"
    assert [check.text for check in checks if check.name == "dial"] == ["Day does not call modem"]
    assert isinstance(decide(message(), replace(s, links=(replace(MODEM, up=True),))), Go)


def test_of_two_open_windows_the_one_that_dials_calls() -> None:
    text = DIALS.replace("windows:\n", "windows:\n  - {name: First, open: 08:00-18:00}\n")
    assert calls(branch(text)) == "modem"


def test_while_the_line_is_being_called_mail_waits_for_it_in_its_window() -> None:
    verdict = decide(message(), branch(calls={"modem": CallState("calling")}))
    assert reason(verdict) == "modem is being called"
    assert isinstance(verdict, Wait)
    assert verdict.next_try.window == "Day"


def test_one_call_an_opening_and_another_line_may_still_be_called() -> None:
    had = CallState(spent=frozenset({("Day", at("2026-11-24 08:00"))}))
    verdict = decide(message(), branch(calls={"modem": had}))
    assert reason(verdict) == "modem had its call in this opening of Day, and stays down until the next"
    assert isinstance(verdict, Wait)
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")
    assert calls(branch(links=(MODEM, ISDN), calls={"modem": had, "isdn": CallState()})) == "isdn"
    assert calls(branch(calls={"modem": had}), message(push="send", may_dial=True)) == "modem"


def test_no_calls_are_left_for_today_not_even_for_an_operator() -> None:
    s = branch(calls={"modem": CallState(left=0)})
    assert "as often as it may be today" in reason(decide(message(), s))
    assert "as often as it may be today" in reason(decide(message(push="send", may_dial=True), s))


def test_online_calls_only_for_an_operator() -> None:
    s = branch(mode="online", mode_set="online")
    assert reason(decide(message(), s)) == "link down"
    assert reason(decide(message(push="send"), s)) == "link down"
    assert calls(s, message(push="send", may_dial=True)) == "modem"


def test_no_call_just_before_the_end_of_an_opening() -> None:
    assert calls(branch(now="2026-11-24 17:58")) == "modem"
    assert reason(decide(message(), branch(now="2026-11-24 17:59"))) == "Day closes too soon for a call of modem"
    short = DIALS.replace("open: 08:00-18:00", 'at: "12:00", for: 1 min')
    assert calls(branch(short, now="2026-11-24 12:00:40")) == "modem"


def test_no_call_for_a_message_that_the_opening_is_too_short_for() -> None:
    s = branch(now="2026-11-24 17:50", speed={"modem": 33_600.0})
    assert calls(s, message(size=500_000)) == "modem"
    assert "Day closes in" in reason(decide(message(size=5_000_000), s))


def test_a_permanent_line_that_reaches_nobody_is_no_reason_not_to_call() -> None:
    s = branch(links=(DARK, MODEM))
    assert isinstance(decide(message(), s), Go)  # it is tried first
    trouble = RelayTrouble(s.now + 600, s.now - 5, "smtp.isp.example does not answer")
    assert calls(replace(s, troubles={"isp": trouble, "hq": trouble})) == "modem"
    refused = replace(trouble, why="the login was refused", stubborn=True)
    assert "refused" in reason(decide(message(), replace(s, troubles={"isp": refused, "hq": refused})))


def test_a_line_that_works_is_used_and_none_is_called() -> None:
    assert isinstance(decide(message(), branch(links=(MODEM, LINE))), Go)
    assert calls(branch(links=(DOWN, MODEM))) == "modem"


def test_a_clock_that_is_not_set_calls_nobody_not_even_for_urgent_mail() -> None:
    s = branch(open=(), clock_why="the clock is not set")
    assert reason(decide(message(message_class="urgent"), s)) == "link down"


def test_a_line_that_we_raised_and_that_fell_is_not_called_before_it_was_put_down() -> None:
    s = branch(calls={"modem": CallState("raised")})
    assert reason(decide(message(), s)) == "modem fell, and is being put down"
    assert reason(decide(message(push="send", may_dial=True), s)) == "modem fell, and is being put down"
