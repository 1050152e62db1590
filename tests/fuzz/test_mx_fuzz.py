"""Whatever the name service says of a domain, there is one direction for its mail, and it never leads back to us."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.courier.mx import (
    MAX_TARGETS,
    NULL,
    Addresses,
    Exchanger,
    Exchangers,
    Nothing,
    Own,
    Silence,
    Targets,
    Undeliverable,
    direction,
)

HOSTS = ("example", "gw.example", "a.example", "b.example", "c.example", NULL)
ADDRESSES = ("93.184.0.1", "93.184.0.2", "2a00::1", "93.184.7.7", "127.0.0.1", "0.0.0.0")
OWN = Own(frozenset({"gw.example"}), frozenset({"93.184.7.7"}))

silences: st.SearchStrategy[Nothing | Silence] = st.one_of(
    st.builds(Nothing, st.booleans(), st.booleans()), st.just(Silence("cannot be looked up now"))
)
exchangers: st.SearchStrategy[Exchangers] = st.one_of(
    silences,
    st.lists(st.builds(Exchanger, st.integers(0, 3), st.sampled_from(HOSTS)), min_size=1, max_size=12).map(tuple),
)
addresses: st.SearchStrategy[Addresses] = st.one_of(
    silences, st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=12, unique=True).map(tuple)
)


@settings(max_examples=200)
@given(exchangers, st.fixed_dictionaries(dict.fromkeys(HOSTS, addresses)), st.randoms(use_true_random=False))
def test_every_answer_has_a_direction_and_none_leads_back(
    found: Exchangers, at: dict[str, Addresses], chance: random.Random
) -> None:
    way = direction("example", found, at, OWN, chance.shuffle)
    match way:
        case Targets(hosts):
            named = {e.host: e.preference for e in found} if isinstance(found, tuple) else {"example": 0}
            preferences = [named[host.host] for host in hosts]
            assert 0 < sum(len(host.addresses) for host in hosts) <= MAX_TARGETS
            assert all(host.addresses for host in hosts)
            tried = {address for host in hosts for address in host.addresses}
            assert not tried & {"93.184.7.7", "127.0.0.1", "0.0.0.0"}
            if isinstance(found, tuple) and len({e.host for e in found}) == len(found):
                assert preferences == sorted(preferences)
                assert all(e.preference > max(preferences) for e in found if e.host == "gw.example")
        case Undeliverable(reply):
            assert reply.is_permanent
            assert reply.enhanced in ("5.1.2", "5.1.10", "5.4.4")
            assert found != Silence("cannot be looked up now")
        case _:
            assert way.why
