from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dispatch.decide import decide
from gateway.dispatch.facts import Check, Go, NextTry, OpenWindow, RelayTrouble, Wait
from tests.support.situations import HQ, ISP, LINE, OFFICE, at, message, settings, situation

MB = 1_000_000


def waits(verdict: object) -> Wait:
    assert isinstance(verdict, Wait), verdict
    return verdict


def goes(verdict: object) -> Go:
    assert isinstance(verdict, Go), verdict
    return verdict


def test_an_open_window_that_admits_it_lets_it_go() -> None:
    verdict = goes(decide(message(), situation()))
    assert verdict.opening is not None
    assert (verdict.link, verdict.relay, verdict.opening.window.name) == ("dsl", ISP, "Day")


def test_a_held_message_waits_for_its_release_in_every_mode() -> None:
    for mode in ("online", "offline", "stopped"):
        verdict = waits(decide(message(held=True, hold_note="ask Anna"), situation(mode=mode)))
        assert (verdict.next_try, verdict.why) == (NextTry("released"), "held: ask Anna")


def test_stopped_sends_nothing_even_in_a_window() -> None:
    assert waits(decide(message(), situation(mode="stopped"))).next_try == NextTry("never")


def test_without_relays_mail_waits_and_says_so() -> None:
    verdict = waits(decide(message(), situation(settings=replace(settings(), relays=()))))
    assert (verdict.next_try.kind, verdict.why) == ("never", "no relay configured")


def test_closed_windows_name_the_opening_that_will_take_it() -> None:
    verdict = waits(decide(message(), situation(now="2026-11-24 19:00")))
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")
    assert verdict.why == "waits for Night, 22:00"


def test_a_class_that_the_open_window_does_not_send_waits_for_one_that_does() -> None:
    verdict = waits(decide(message(message_class="bulk"), situation()))
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")


def test_a_size_over_the_limit_waits_for_a_window_without_one() -> None:
    verdict = waits(decide(message(size=2 * MB + 1), situation()))
    assert verdict.next_try.window == "Night"
    assert isinstance(decide(message(size=2 * MB), situation()), Go)


def test_no_window_at_all_is_never_and_says_why() -> None:
    verdict = waits(decide(message(), situation("timezone: UTC\n")))
    assert (verdict.next_try, verdict.why) == (NextTry("never"), "offline, and the schedule has no window")


def test_a_class_without_a_window_is_never_and_names_the_class() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, send: urgent}\n"
    verdict = waits(decide(message(message_class="bulk"), situation(text)))
    assert (verdict.next_try.kind, verdict.why) == ("never", "no window sends class bulk")


def test_a_message_larger_than_every_window_is_never_and_names_the_limit() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, max_message: 1 MB}\n"
    verdict = waits(decide(message(size=3 * MB), situation(text)))
    assert verdict.why == "too large for any window: 3 MB, the largest limit is 1 MB"


def test_the_first_admitting_window_in_file_order_gives_the_relay() -> None:
    text = (
        "timezone: UTC\nwindows:\n"
        "  - {name: A, open: 00:00-24:00, send: bulk, via: isp}\n"
        "  - {name: B, open: 00:00-24:00, via: hq}\n"
        "  - {name: C, open: 00:00-24:00, via: isp}\n"
    )
    verdict = goes(decide(message(), situation(text, settings=settings(ISP, HQ))))
    assert verdict.relay == HQ


def test_online_ignores_the_windows_via_class_and_size() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: A, open: 00:00-24:00, send: urgent, max_message: 1 kB, via: hq}\n"
    verdict = goes(decide(message(), situation(text, mode="online", settings=settings(ISP, HQ))))
    assert (verdict.relay, verdict.opening) == (ISP, None)


def test_a_links_relay_is_used_and_does_not_fail_over() -> None:
    s = situation(mode="online", settings=settings(ISP, HQ))
    link = replace(s.settings.links[0], name="dsl", relay="hq")
    s = replace(s, settings=replace(s.settings, links=(link,)))
    assert goes(decide(message(), s)).relay == HQ
    trouble = RelayTrouble(s.now + 60, s.now, "smtp.hq.example does not answer")
    assert waits(decide(message(), replace(s, troubles={"hq": trouble}))).next_try == NextTry("time", s.now + 60)


def test_relays_in_order_fail_over_when_the_first_is_in_trouble() -> None:
    s = situation(mode="online", settings=settings(ISP, HQ))
    trouble = RelayTrouble(s.now + 60, s.now, "smtp.isp.example does not answer")
    assert goes(decide(message(), replace(s, troubles={"isp": trouble}))).relay == HQ


def test_all_relays_in_trouble_wait_for_the_first_that_is_tried_again() -> None:
    s = situation(mode="online", settings=settings(ISP, HQ))
    troubles = {"isp": RelayTrouble(s.now + 600, s.now, "a"), "hq": RelayTrouble(s.now + 60, s.now, "b")}
    assert waits(decide(message(), replace(s, troubles=troubles))).next_try == NextTry("time", s.now + 60)


def test_link_down_online_is_asap_and_in_a_window_names_the_window() -> None:
    down = (replace(LINE, up=False, why="eth0 has no carrier"),)
    verdict = waits(decide(message(), situation(mode="online", links=down)))
    assert (verdict.next_try, verdict.why) == (NextTry("asap"), "link down")
    verdict = waits(decide(message(), situation(links=down)))
    assert verdict.next_try == NextTry("window", at("2026-11-24 08:00"), "Day")


def test_online_prefers_a_permanent_link() -> None:
    metered = replace(LINE, name="lte", kind="metered")
    assert goes(decide(message(), situation(mode="online", links=(metered, LINE)))).link == "dsl"
    assert goes(decide(message(), situation(mode="offline", links=(metered, LINE)))).link == "lte"


def test_next_try_of_its_own_counts_within_the_same_opening() -> None:
    s = situation()
    verdict = waits(decide(message(tries=1, last_try=s.now - 60, due=s.now + 1740), s))
    assert verdict.next_try == NextTry("window", s.now + 1740, "Day")


def test_next_try_beyond_the_end_of_the_opening_waits_for_the_next_one() -> None:
    s = situation(now="2026-11-24 17:50")
    verdict = waits(decide(message(tries=1, last_try=s.now - 60, due=s.now + 1740), s))
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")


def test_next_try_set_in_an_earlier_opening_is_void_in_a_new_one() -> None:
    s = situation(now="2026-11-25 08:10")
    earlier = message(tries=1, last_try=at("2026-11-24 17:59"), due=s.now + 3600)
    assert isinstance(decide(earlier, s), Go)


def test_going_online_makes_every_waiting_message_asap() -> None:
    s = situation(mode="online", opportunity_since=at("2026-11-24 11:59:30"))
    assert isinstance(decide(message(tries=1, last_try=at("2026-11-24 11:00"), due=s.now + 900), s), Go)
    late = message(tries=1, last_try=at("2026-11-24 11:59:40"), due=s.now + 900)
    assert waits(decide(late, s)).next_try == NextTry("time", s.now + 900)


def test_a_message_in_doubt_keeps_its_ten_minutes_over_a_change_of_mode() -> None:
    s = situation(mode="online", opportunity_since=at("2026-11-24 11:59:30"))
    doubtful = message(tries=1, last_try=at("2026-11-24 11:55"), due=s.now + 300, doubt=True)
    assert waits(decide(doubtful, s)).next_try == NextTry("time", s.now + 300)


def test_trouble_of_the_relay_before_the_opening_is_over_but_a_refused_login_is_not() -> None:
    s = situation(now="2026-11-24 08:01")
    before = at("2026-11-24 07:00")
    unreachable = RelayTrouble(s.now + 600, before, "does not answer")
    assert isinstance(decide(message(created=before), replace(s, troubles={"isp": unreachable})), Go)
    refused = replace(unreachable, stubborn=True)
    verdict = waits(decide(message(created=before), replace(s, troubles={"isp": refused})))
    assert verdict.next_try == NextTry("window", s.now + 600, "Day")


def test_only_if_that_is_not_met_waits() -> None:
    s = situation("timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, only_if: urgent waiting}\n")
    unmet = replace(s, open=(OpenWindow(s.open[0].opening, condition_met=False),))
    assert "condition" in waits(decide(message(), unmet)).why
    assert isinstance(decide(message(), s), Go)


def test_a_message_that_cannot_finish_before_the_end_waits_for_an_opening_that_is_long_enough() -> None:
    s = situation(now="2026-11-24 17:59", speed={"dsl": 33_600.0})
    verdict = waits(decide(message(size=1 * MB), s))
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")
    assert verdict.why == "needs 4 min, Day closes in 60 s"
    assert isinstance(decide(message(size=100_000), s), Go)


def test_what_fits_no_opening_starts_at_the_beginning_of_one_and_not_later() -> None:
    text = "timezone: Europe/Prague\nwindows:\n  - {name: W, at: '12:00', for: 5 min}\n"
    speed = {"dsl": 33_600.0}
    assert isinstance(decide(message(size=10 * MB), situation(text, now="2026-11-24 12:00", speed=speed)), Go)
    late = waits(decide(message(size=10 * MB), situation(text, now="2026-11-24 12:03", speed=speed)))
    assert late.next_try == NextTry("window", at("2026-11-25 12:00"), "W")


def test_without_a_speed_everything_is_started() -> None:
    assert isinstance(decide(message(size=1 * MB), situation(now="2026-11-24 17:59:59")), Go)


def test_an_operator_sends_outside_windows_what_some_enabled_window_would_admit() -> None:
    closed = situation(now="2026-11-24 19:00")
    assert isinstance(decide(message(push="send"), closed), Go)
    text = OFFICE.replace("  - name: Night\n    open: 22:00-05:00\n", "")
    closed = situation(text, now="2026-11-24 19:00")
    assert waits(decide(message(push="send", message_class="bulk"), closed)).why == "no window sends class bulk"
    assert isinstance(decide(message(push="force", message_class="bulk"), closed), Go)


def test_without_windows_an_operator_sends_everything() -> None:
    assert isinstance(decide(message(push="send", size=30 * MB), situation("timezone: UTC\n")), Go)


def test_force_ignores_next_try_and_a_relay_in_trouble_and_send_only_the_latter() -> None:
    s = situation(mode="online")
    s = replace(s, troubles={"isp": RelayTrouble(s.now + 600, s.now - 5, "does not answer")})
    assert isinstance(decide(message(push="send"), s), Go)
    deferred = {"tries": 1, "last_try": s.now - 60, "due": s.now + 900}
    assert waits(decide(message(push="send", **deferred), s)).next_try == NextTry("time", s.now + 900)
    assert isinstance(decide(message(push="force", **deferred), s), Go)


def test_auto_says_when_a_failed_line_is_tried_again_if_no_window_comes_first() -> None:
    s = situation("timezone: UTC\n", mode_set="auto")
    failed = replace(LINE, usable=False, try_again_at=s.now + 1800)
    verdict = waits(decide(message(), replace(s, links=(failed,))))
    assert verdict.next_try == NextTry("time", s.now + 1800)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["stored", "held", "mode", "window", "retry", "link", "relay", "time"]),
        ({"size": 3 * MB}, ["stored", "held", "mode", "size", "window"]),
        ({"held": True}, ["stored", "held"]),
    ],
)
def test_explain_lists_the_rules_in_the_order_in_which_they_were_asked(
    changes: dict[str, object], names: list[str]
) -> None:
    trace: list[Check] = []
    decide(message(**changes), situation(), trace)
    assert [check.name for check in trace] == names


def test_explain_points_at_file_and_line_of_the_rule() -> None:
    trace: list[Check] = []
    decide(message(size=3 * MB), situation(), trace)
    size = next(check for check in trace if check.name == "size")
    assert (size.state, size.file, size.line) == ("wait", "schedule.yaml", 7)
    assert size.text == "3 MB, over the 2 MB limit of Day"


def test_the_verdict_is_the_same_with_and_without_a_trace() -> None:
    for s in (situation(), situation(now="2026-11-24 19:00"), situation(mode="online")):
        for m in (message(), message(size=3 * MB), message(message_class="bulk"), message(held=True)):
            assert decide(m, s) == decide(m, s, [])


def test_a_message_once_in_doubt_is_not_kept_from_its_next_opening_by_a_later_try() -> None:
    s = situation(mode="online", opportunity_since=at("2026-11-24 11:59"))
    hour_ago = message(tries=2, last_try=at("2026-11-24 11:00"), due=at("2026-11-24 13:00"), doubt=True)
    assert isinstance(decide(hour_ago, s), Go)
    just_now = message(tries=2, last_try=at("2026-11-24 11:55"), due=at("2026-11-24 13:00"), doubt=True)
    assert waits(decide(just_now, s)).next_try == NextTry("time", at("2026-11-24 12:05"))


def test_a_line_whose_next_chance_is_due_does_not_keep_the_loop_turning_until_it_is_tried() -> None:
    s = situation(now="2026-11-24 19:00", mode_set="auto")
    due = replace(s, links=(replace(LINE, usable=False, try_again_at=s.now - 1),))
    assert waits(decide(message(message_class="bulk"), due)).next_try == NextTry(
        "window", at("2026-11-24 22:00"), "Night"
    )
