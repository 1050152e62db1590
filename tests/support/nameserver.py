"""A name server on loopback that says what a test tells it: `with NameServer({...}) as server:`, then `server.port`.

Keys of the zone are `NAME TYPE` (`example.test MX`), values lists of records as in a zone file. A name that is nowhere does not
exist (NXDOMAIN); one that has other types has nothing of this (NODATA). Both come with an SOA unless `proofs` is False. A value
that is no list is said instead: `SERVFAIL`, `SILENCE`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVFAIL, SILENCE = "SERVFAIL", "SILENCE"
Zone = Mapping[str, "list[str] | str"]


class NameServer:
    """`asked`: the questions so far, as in the keys. `proofs_on_demand`: an SOA only where the question has the bit DO."""

    def __init__(self, zone: Zone, *, proofs: bool = True, proofs_on_demand: bool = False) -> None:
        self.zone = dict(zone)
        self.asked: list[str] = []
        self._proofs, self._proofs_on_demand = proofs, proofs_on_demand
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> NameServer:
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))  # an empty question ends it
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            octets, client = self._socket.recvfrom(4096)
            if not octets:
                return
            answer = self._answer(dns.message.from_wire(octets))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        said = self.zone.get(f"{name} {kind}", [])
        response = dns.message.make_response(query, recursion_available=True)
        if said == SILENCE:
            return None
        if said == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif isinstance(said, list) and said:
            response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, said))
        else:
            if not any(key.split()[0] == name for key in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
            demands = bool(query.ednsflags & dns.flags.DO)
            if demands if self._proofs_on_demand else self._proofs:
                soa = "ns.test. root.test. 1 3600 600 86400 60"
                response.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", soa))
        return response
