from __future__ import annotations

from gateway.dispatch.orders import Orders, decode, encode, settled, with_file, with_mode, with_once, with_skips

NOW = 1_780_000_000.0


def fresh(mode: str = "auto") -> Orders:
    return decode(None, mode)  # type: ignore[arg-type]  # only names of modes are given


def test_without_saved_orders_the_file_decides() -> None:
    assert fresh("offline").mode == "offline"


def test_a_chosen_mode_survives_a_restart() -> None:
    chosen = with_mode(fresh(), "offline", NOW, None)
    assert decode(encode(chosen), "auto") == chosen


def test_a_chosen_mode_ends_when_the_file_changes() -> None:
    chosen = with_mode(fresh(), "offline", NOW, None)
    assert with_file(chosen, "auto").mode == "offline"
    assert with_file(chosen, "stopped").mode == "stopped"
    assert decode(encode(chosen), "online").mode == "online"


def test_for_brings_back_what_was_before() -> None:
    online = with_mode(fresh(), "online", NOW, None)
    offline = with_mode(online, "offline", NOW, 3600.0)
    assert settled(offline, NOW + 3599).mode == "offline"
    assert settled(offline, NOW + 3600).mode == "online"


def test_a_second_for_keeps_what_was_before_the_first() -> None:
    first = with_mode(fresh("auto"), "offline", NOW, 3600.0)
    second = with_mode(first, "stopped", NOW + 10, 60.0)
    assert settled(second, NOW + 71).mode == "auto"


def test_a_mode_for_good_ends_a_for() -> None:
    first = with_mode(fresh("auto"), "offline", NOW, 3600.0)
    assert settled(with_mode(first, "online", NOW + 10, None), NOW + 7200).mode == "online"


def test_openings_by_hand_and_skips_are_kept_until_they_end() -> None:
    orders = with_skips(with_once(fresh(), [(NOW, NOW + 60)]), [("Night", NOW + 100, NOW + 200)])
    assert settled(orders, NOW + 59).once == ((NOW, NOW + 60),)
    assert settled(orders, NOW + 60).once == ()
    assert settled(orders, NOW + 199).skips == (("Night", NOW + 100, NOW + 200),)
    assert settled(orders, NOW + 200).skips == ()


def test_orders_that_cannot_be_read_fall_back_to_the_file() -> None:
    assert decode(b'{"mode": "sideways"}', "offline").mode == "offline"
    assert decode(b"\x00\xff", "offline").mode == "offline"
