"""Asks the name service for MX and addresses, by dnspython (extra `direct`). Loaded only where mail is delivered directly.

Answers are kept in memory for as long as they say themselves, within a bound. What they mean is `mx`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.resolver

from gateway.courier.mx import NULL, Addresses, Exchanger, Exchangers, Nothing, Silence

MAX_KEPT = 500
"""Answers in memory."""

MAX_RECORDS = 100
"""Records of one answer that are looked at."""

ONE_SERVER, ALL_SERVERS = 4.0, 20.0
"""Seconds for one try with one name server, and for a question as a whole."""

PAYLOAD = 1232
"""Octets of an answer over UDP that no line on the way has to cut in pieces (the DNS community's flag day of 2020)."""

_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class Resolver:
    """The name servers of this machine. Where they are written (resolv.conf) is looked at again when the file has changed:
    a line that comes up brings its own."""

    def __init__(
        self, nameservers: Sequence[str] = (), port: int = 53, *, resolv_conf: Path = Path("/etc/resolv.conf")
    ) -> None:
        """`nameservers`: these instead of those of the machine."""
        self._nameservers, self._port, self._resolv_conf = tuple(nameservers), port, resolv_conf
        self._stamp: object = None
        self._known: tuple[dns.asyncresolver.Resolver, dns.asyncresolver.Resolver] | None = None

    async def exchangers(self, domain: str) -> Exchangers:
        """The MX of a domain (ASCII, or Unicode as in RFC 6531), in no order."""
        found = await self._ask(domain, dns.rdatatype.MX)
        if not isinstance(found, dns.resolver.Answer):
            return found
        records = [rdata for rdata in found if isinstance(rdata, dns.rdtypes.ANY.MX.MX)][:MAX_RECORDS]
        return tuple(
            Exchanger(
                rdata.preference,
                NULL if rdata.exchange == dns.name.root else rdata.exchange.to_text(omit_final_dot=True).lower(),
            )
            for rdata in records
        )

    async def addresses(self, host: str) -> Addresses:
        """IPv4 and IPv6 together; what one question did not find is no matter where the other did."""
        if host.isascii() and _HOST.fullmatch(host) is None:
            return Nothing(exists=False)  # a name that no host can have
        answers = await asyncio.gather(self._ask(host, dns.rdatatype.A), self._ask(host, dns.rdatatype.AAAA))
        found = [str(rdata) for answer in answers if isinstance(answer, dns.resolver.Answer) for rdata in answer]
        if found:
            return tuple(found[:MAX_RECORDS])
        missing = [answer for answer in answers if isinstance(answer, Nothing)]
        if len(missing) < len(answers):
            return next(answer for answer in answers if isinstance(answer, Silence))
        return Nothing(any(m.exists for m in missing), all(m.proven for m in missing))

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer | Nothing | Silence:
        """A positive answer, or what there is instead. A no without proof is asked for again with the bit that makes
        forwarders pass the proof on (DO, RFC 3225)."""
        try:
            absolute = dns.name.from_text(name) if name.isascii() else dns.name.from_unicode(name)
            plain, demanding = self._resolvers()
        except (dns.exception.DNSException, UnicodeError) as exc:
            if isinstance(exc, dns.resolver.NoResolverConfiguration):
                return Silence("cannot be looked up: this machine names no name server (/etc/resolv.conf)")
            return Nothing(exists=False)  # no name at all: a label too long, or letters that no domain has
        found = await _asked(plain, absolute, kind)
        if isinstance(found, Nothing) and not found.proven:
            again = await _asked(demanding, absolute, kind)
            return found if isinstance(again, Silence) else again
        return found

    def _resolvers(self) -> tuple[dns.asyncresolver.Resolver, dns.asyncresolver.Resolver]:
        stamp: object = None
        with contextlib.suppress(OSError):
            status = self._resolv_conf.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if self._known is None or (stamp != self._stamp and not self._nameservers):
            self._known = self._make(flags=0), self._make(flags=dns.flags.DO)
            self._known[0].cache = dns.resolver.LRUCache(MAX_KEPT)
            self._stamp = stamp
        return self._known

    def _make(self, flags: int) -> dns.asyncresolver.Resolver:
        if self._nameservers:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = list(self._nameservers)
        else:
            resolver = dns.asyncresolver.Resolver(str(self._resolv_conf))
        resolver.port, resolver.timeout = self._port, ONE_SERVER
        resolver.use_edns(0, flags, PAYLOAD)
        return resolver


async def _asked(
    resolver: dns.asyncresolver.Resolver, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.resolver.Answer | Nothing | Silence:
    # A task of its own: the library waits by wait_for, which in Python 3.11 may swallow a cancellation.
    asking = asyncio.ensure_future(
        resolver.resolve(name, kind, search=False, raise_on_no_answer=False, lifetime=ALL_SERVERS)
    )
    try:
        await asyncio.wait({asking})
        answer = asking.result()
    except asyncio.CancelledError:
        asking.cancel()
        raise
    except dns.resolver.NXDOMAIN as exc:
        said: Mapping[dns.name.Name, dns.message.Message] = exc.kwargs["responses"]
        return Nothing(exists=False, proven=any(map(_has_soa, said.values())))
    except (dns.resolver.LifetimeTimeout, dns.resolver.NoNameservers) as exc:
        late = isinstance(exc, dns.resolver.LifetimeTimeout)
        why = "the name service does not answer in time" if late else "the name service fails"
        return Silence(f"cannot be looked up now: {why}")
    except (dns.exception.DNSException, OSError, EOFError, ValueError) as exc:
        return Silence(f"cannot be looked up now: {type(exc).__name__}: {exc}"[:200])
    if answer.rrset is None:
        return Nothing(exists=True, proven=_has_soa(answer.response))
    return answer


def _has_soa(response: dns.message.Message) -> bool:
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
