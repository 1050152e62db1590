"""Guessing passwords costs time: a pause after each failure, for the account and for the address it came from (CASES W15).

Nobody is locked out for good, and the account's pause does not count for whoever sits at the machine itself (loopback):
a guesser on the network cannot keep the owner out.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

FREE = 3
LONGEST = 60.0
FORGET = 900.0
MOST = 2000


class Throttle:
    """Counts failures; bounded. Instants are monotonic seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, account: str, address: str, now: float) -> float:
        """Seconds until the next try is looked at; 0: now."""
        keys = [_address_key(address)]
        if not is_loopback(address):
            keys.append(_account_key(account))
        return max(self._left(key, now) for key in keys)

    def failed(self, account: str, address: str, now: float) -> None:
        for key in (_address_key(address), _account_key(account)):
            count, at = self._failures.pop(key, (0, now))
            self._failures[key] = (1 if now - at > FORGET else count + 1, now)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        self._failures.pop(_address_key(address), None)
        self._failures.pop(_account_key(account), None)

    def _left(self, key: str, now: float) -> float:
        count, at = self._failures.get(key, (0, now))
        if count < FREE:
            return 0.0
        return max(0.0, at + min(LONGEST, 2.0 ** min(count - FREE, 10)) - now)


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _address_key(address: str) -> str:
    """IPv6 clients own a /64: it counts as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "a:?"
    if parsed.version == 6:
        return f"a:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"a:{parsed}"


def _account_key(account: str) -> str:
    return f"n:{account[:64].casefold()}"
