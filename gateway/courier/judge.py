"""What a transaction meant for each of its recipients: promise P9, and which end of the connection was to blame.

Plain values in, plain values out. The exchange gathers the facts, the caller acts on the outcomes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.mail.outcome import Deferred, Delivered, Failed, Interrupted, Outcome, Reply, Unconfirmed

SERVICE_CLOSING = 421

_SIGN_IN_CODES = frozenset({530, 534, 535, 538})
_RELAY_DENIED = re.compile(
    r"relay(?:ing)?\b.{0,40}\b(?:denied|not permitted|not allowed|prohibited|refused|forbidden|disabled)"
    r"|(?:denied|not permitted|not allowed|cannot|can't|unable|refuse[sd]?|won't|don't|do not) to relay"
    r"|(?:cannot|can't|won't|don't|do not) relay"
    r"|authentication (?:is )?required|must authenticate|rcpthosts",
    re.IGNORECASE | re.DOTALL,
)


_TOO_FAST = re.compile(
    r"\brate\b|throttl|slow(?:ing)? down|too (?:many|much|fast)\b.{0,40}\b(?:message|mail|connection|request|recipient|fast)"
    r"|(?:sending|message|hourly|daily) (?:limit|quota)",
    re.IGNORECASE | re.DOTALL,
)


def asks_to_slow_down(reply: Reply) -> bool:
    """A refusal for now that speaks of how much or how fast we send, rather than of this message or its recipient."""
    if reply.is_permanent or reply.code < 400 or (reply.enhanced or "").startswith(("4.1.", "4.2.", "4.5.3")):
        return False
    return bool(_TOO_FAST.search(reply.text))


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What one transaction came to. None is an answer that never came.

    `recipients`: the answers to RCPT in order. `data`: to DATA, where it was used and not 354. `end`: to the final dot
    or the last BDAT. `complete`: the last octet may have left this machine. `lost`: why no more answers come, or None.
    `may_be_setup`: the relay took no message of this session yet, and this is its first, or those before it were all
    refused for reasons of our set-up. `took_some`: it took others of this session.
    """

    mail: Reply | None
    recipients: tuple[Reply | None, ...]
    data: Reply | None = None
    end: Reply | None = None
    complete: bool = False
    lost: str | None = None
    may_be_setup: bool = False
    took_some: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """One outcome a recipient. `setup`: the reply that shows that the relay takes no mail from us, which holds the
    queue instead of ending the message."""

    outcomes: tuple[Outcome, ...]
    setup: Reply | None = None


def judge(facts: Exchanged) -> Verdict:
    refusals = tuple(_refusal(facts, reply) for reply in facts.recipients)
    if facts.may_be_setup and refusals and all(r and is_of_our_setup(r) for r in refusals):
        reply = next(r for r in refusals if r)
        held = tuple(Deferred(f"the relay takes no mail from us: {r}", r, is_real=False) for r in refusals if r)
        return Verdict(held, reply)
    return Verdict(tuple(_outcome(facts, refusal) for refusal in refusals))


def is_of_our_setup(reply: Reply) -> bool:
    """A permanent refusal that speaks of us rather than of the recipient or the message."""
    if not reply.is_permanent:
        return False
    enhanced = reply.enhanced or ""
    if enhanced.startswith("5.1."):
        return False
    return enhanced.startswith("5.7.") or reply.code in _SIGN_IN_CODES or bool(_RELAY_DENIED.search(reply.text))


def _refusal(facts: Exchanged, recipient: Reply | None) -> Reply | None:
    """The first answer that was not yes, in the order in which the relay asks itself; later ones only follow from it."""
    for reply in (facts.mail, recipient, facts.data, facts.end):
        if reply is not None and reply.code >= 400:
            return reply
    return None


def _outcome(facts: Exchanged, refusal: Reply | None) -> Outcome:
    if refusal is not None:
        if refusal.code == SERVICE_CLOSING:
            return _hung_up(facts, refusal)
        if refusal.is_permanent:
            return Failed(refusal)
        return Deferred(str(refusal), refusal)
    if facts.end is not None and 200 <= facts.end.code < 300:  # nothing else is a promise to deliver
        return Delivered(facts.end)
    closing = next((r for r in facts.recipients if r is not None and r.code == SERVICE_CLOSING), None)
    if closing is not None:  # said of another recipient, and true for all
        return _hung_up(facts, closing)
    reason = facts.lost or "the session ended before it was sent"
    if facts.complete:
        return Unconfirmed(reason)
    return Interrupted(reason)


def _hung_up(facts: Exchanged, reply: Reply) -> Outcome:
    if facts.took_some and facts.mail is reply:
        # It takes so many messages a session and no more; this one was never looked at, and goes with the next.
        return Interrupted(f"the relay ended the session: {reply}")
    answered = facts.mail is not None and facts.mail.code != SERVICE_CLOSING
    return Deferred(f"the relay is closing: {reply}", reply, is_real=answered)
