"""From what the name service said to the hosts that take a domain's mail, or to why there are none (RFC 5321 5.1, RFC 7505)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from gateway.courier.mx import (
    MAX_EXCHANGERS,
    MAX_TARGETS,
    NULL,
    Addresses,
    Direction,
    Exchanger,
    Exchangers,
    Nothing,
    NotNow,
    Ours,
    Own,
    Silence,
    Target,
    Targets,
    Undeliverable,
    direction,
    exchangers_to_ask,
)

FIRST, SECOND, THIRD = Exchanger(10, "a.example"), Exchanger(20, "b.example"), Exchanger(20, "c.example")
AT: dict[str, Addresses] = {
    "a.example": ("93.184.0.1",),
    "b.example": ("93.184.0.2", "2a00::2"),
    "c.example": ("93.184.0.3",),
    "example": ("93.184.0.9",),
}
NOWHERE, BARE = Nothing(exists=False), Nothing(exists=True)
US = Own(frozenset({"gw.branch.example"}), frozenset({"93.184.7.7"}))


def find(found: Exchangers, addresses: Mapping[str, Addresses] = AT, own: Own = US) -> Direction:
    return direction("example", found, {**AT, **addresses}, own, lambda hosts: hosts.reverse())


def hosts(found: Direction) -> list[str]:
    assert isinstance(found, Targets), found
    return [target.host for target in found.hosts]


def test_hosts_come_by_preference_and_equal_ones_mixed() -> None:
    """The mixer of these tests turns round what it is given."""
    assert hosts(find((SECOND, THIRD, FIRST))) == ["a.example", "c.example", "b.example"]
    assert hosts(find((THIRD, SECOND, FIRST))) == ["a.example", "b.example", "c.example"]


def test_a_host_is_tried_at_all_its_addresses_the_older_kind_first() -> None:
    found = find((SECOND,), {"b.example": ("2a00::2", "93.184.0.2")})
    assert found == Targets((Target("b.example", ("93.184.0.2", "2a00::2")),))


def test_without_mx_the_domain_itself_is_the_host() -> None:
    assert exchangers_to_ask("example", BARE, US) == (Exchanger(0, "example"),)
    assert find(BARE) == Targets((Target("example", ("93.184.0.9",)),))


def test_with_mx_the_domains_own_address_is_never_tried() -> None:
    found = find((FIRST,), {"a.example": NOWHERE})
    assert isinstance(found, Undeliverable)
    assert found.reply.enhanced == "5.4.4"


def test_a_null_mx_takes_no_mail_and_beside_others_it_means_nothing() -> None:
    found = find((Exchanger(0, NULL),))
    assert isinstance(found, Undeliverable)
    assert (found.reply.code, found.reply.enhanced) == (556, "5.1.10")
    assert hosts(find((Exchanger(0, NULL), FIRST))) == ["a.example"]


@pytest.mark.parametrize("answer", [NOWHERE, BARE])
def test_a_domain_that_is_nowhere_can_get_no_mail(answer: Nothing) -> None:
    found = find(answer, {"example": NOWHERE})
    assert isinstance(found, Undeliverable)
    assert (found.reply.code, found.reply.enhanced) == (550, "5.1.2")


@pytest.mark.parametrize(
    ("answer", "addresses"),
    [
        (Nothing(exists=False, proven=False), {}),
        (BARE, {"example": Nothing(exists=True, proven=False)}),
        ((FIRST,), {"a.example": Nothing(exists=False, proven=False)}),
    ],
)
def test_a_no_without_proof_ends_nobodys_mail(answer: Exchangers, addresses: dict[str, Addresses]) -> None:
    found = find(answer, addresses)
    assert isinstance(found, NotNow)
    assert "shows no proof" in found.why


def test_silence_about_the_domain_means_later() -> None:
    assert find(Silence("cannot be looked up now")) == NotNow("example cannot be looked up now")


def test_silence_about_one_host_leaves_the_others_and_about_all_means_later() -> None:
    silent = Silence("cannot be looked up now")
    assert hosts(find((FIRST, SECOND), {"a.example": silent})) == ["b.example"]
    assert find((FIRST,), {"a.example": silent}) == NotNow(
        "a.example, which takes mail for example, cannot be looked up now"
    )


@pytest.mark.parametrize("ours", [Exchanger(20, "GW.branch.example"), Exchanger(20, "other.example")])
def test_from_ourselves_on_down_no_host_is_tried(ours: Exchanger) -> None:
    there: dict[str, Addresses] = {"other.example": ("93.184.7.7",)}
    assert hosts(find((FIRST, ours, SECOND), there)) == ["a.example"]


@pytest.mark.parametrize("ours", [Exchanger(5, "gw.branch.example"), Exchanger(10, "other.example")])
def test_a_domain_whose_best_host_is_ourselves_goes_nowhere(ours: Exchanger) -> None:
    assert isinstance(find((FIRST, ours, SECOND), {"other.example": ("93.184.7.7",)}), Ours)


def test_mail_for_our_own_name_without_mx_is_ours() -> None:
    own = Own(frozenset({"example"}))
    assert isinstance(find(BARE, own=own), Ours)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.5", "255.255.255.255"])
def test_addresses_that_are_everybodys_or_nobodys_are_no_servers(address: str) -> None:
    found = find((FIRST,), {"a.example": (address,)})
    assert isinstance(found, Undeliverable)
    assert hosts(find((FIRST, SECOND), {"a.example": (address,)})) == ["b.example"]


def test_of_many_addresses_a_few_are_tried_and_the_next_host_has_its_turn() -> None:
    many = tuple(f"93.184.1.{n}" for n in range(50))
    found = find((FIRST, SECOND), {"a.example": many, "b.example": many})
    assert isinstance(found, Targets)
    assert [len(target.addresses) for target in found.hosts] == [MAX_TARGETS - 2, 2]


def test_hosts_that_nobody_was_asked_about_are_no_reason_to_give_up_a_domain() -> None:
    many = tuple(Exchanger(n, f"h{n}.example") for n in range(MAX_EXCHANGERS + 1))
    nowhere = {exchanger.host: NOWHERE for exchanger in many}

    assert isinstance(find(many, nowhere), NotNow)
    assert isinstance(find(many[:-1], nowhere), Undeliverable)


def test_dnspython_is_loaded_only_where_mail_is_delivered_directly() -> None:
    program = "import sys, gateway.app, gateway.courier.direct; sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
