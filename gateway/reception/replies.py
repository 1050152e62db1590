"""The replies that reception gives, as octets without the final CRLF. No version, no path, no word of the client's.

Codes are RFC 5321's, the enhanced ones RFC 3463's (and RFC 7505, 4954, 6710 where they add some).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply other than 2xx, as a value. `close`: nothing that follows in the pipe may be believed."""

    reply: bytes
    close: bool = False


OK = b"250 2.0.0 ok"
SENDER_OK = b"250 2.1.0 ok"
RECIPIENT_OK = b"250 2.1.5 ok"
START_INPUT = b"354 end with CRLF.CRLF"
CANNOT_VERIFY = b"252 2.5.0 cannot say; send it and see"

TIMEOUT = b"421 4.4.2 waited too long"
TOO_SLOW = b"421 4.4.2 too slow"
SHUTTING_DOWN = b"421 4.3.2 shutting down"
INTERNAL = b"421 4.3.0 trouble of our own; try again later"
TOO_MANY_COMMANDS = b"421 4.7.0 too many commands without a message"
TOO_MANY_ERRORS = b"421 4.7.0 too many errors"
TOO_MANY_CONNECTIONS = b"421 4.7.0 too many connections"
TOO_MANY_FROM_YOU = b"421 4.7.0 too many connections from your address"
MAKE_ROOM = b"421 4.7.0 others are waiting"
NOT_FOR_YOU = b"554 5.7.1 this address may not connect here"

DISK_FULL = b"452 4.3.1 no room now; try again later"
DISK_TROUBLE = b"451 4.3.0 cannot store mail now; try again later"
TOO_MANY_RECIPIENTS = b"452 4.5.3 too many recipients; send the rest in another message"
TOO_MANY_MESSAGES = b"450 4.7.1 too many messages this hour; try again later"
LOOPS_NOW = b"451 4.4.6 this message has just left this gateway: the relay leads back here"

SYNTAX = b"500 5.5.2 not a command"
TOO_LONG = b"500 5.5.2 command too long"
BARE_LF_COMMAND = b"500 5.5.2 a command ends with CR LF"
BARE_CR_COMMAND = b"501 5.5.2 CR inside a command"
NUL_COMMAND = b"501 5.5.2 NUL inside a command"
UNKNOWN = b"500 5.5.1 unknown command"
NOT_BUILT = b"502 5.5.1 not available"
NO_ARGUMENT = b"501 5.5.4 no argument is allowed"
BAD_HELO = b"501 5.5.4 not a host name or address literal"
BAD_MAIL = b"501 5.5.4 write MAIL FROM:<address>"
BAD_RCPT = b"501 5.5.4 write RCPT TO:<address>"
BAD_SENDER = b"501 5.1.7 not an address"
BAD_RECIPIENT = b"501 5.1.3 not an address"
BAD_PARAMETER = b"501 5.5.4 wrong parameter"
UNKNOWN_PARAMETER = b"555 5.5.4 parameter not known here"
NEEDS_SMTPUTF8 = b"553 5.6.7 this address needs SMTPUTF8"
HELO_FIRST = b"503 5.5.1 say EHLO first"
MAIL_FIRST = b"503 5.5.1 MAIL first"
RCPT_FIRST = b"503 5.5.1 RCPT first"
NESTED_MAIL = b"503 5.5.1 a transaction is open already"
NO_RECIPIENTS = b"554 5.5.1 no valid recipients"
IN_CHUNKS = b"503 5.5.1 BDAT has begun; DATA cannot follow"
BAD_CHUNK = b"501 5.5.4 write BDAT size [LAST]"
RELAY_DENIED = b"550 5.7.1 relaying denied"
TALKS_TOO_EARLY = b"554 5.5.0 content came before it was asked for"
TOO_BIG = b"552 5.3.4 message too big"
BARE_ENDINGS = b"550 5.6.11 bare CR or LF; lines end with CR LF"
NUL_CONTENT = b"550 5.6.0 NUL in the message"
FOLDS_OURS = b"550 5.6.0 a message begins with a header field, not with white space"
LONG_LINE = b"550 5.6.0 a line is longer than 1 MiB"
TOO_MANY_HOPS = b"554 5.4.6 too many Received fields: a loop"
NOT_MAIL = b"554 5.5.0 this is a mail server"

START_TLS = b"220 2.0.0 ready to start TLS"
TLS_ALREADY = b"503 5.5.1 TLS is on already"
AUTH_OK = b"235 2.7.0 signed in"
AUTH_WRONG = b"535 5.7.8 name or password is wrong"
AUTH_LATER = b"454 4.7.0 cannot check passwords now; try again later"
AUTH_BLOCKED = b"421 4.7.0 too many wrong passwords from your address; try again later"
AUTH_CANCELLED = b"501 5.7.0 cancelled"
AUTH_TOO_OFTEN = b"503 5.5.1 signed in already"
AUTH_IN_MAIL = b"503 5.5.1 not within a transaction"
AUTH_NEEDED = b"530 5.7.0 sign in first"
AUTH_NEEDS_TLS = b"538 5.7.11 sign in needs TLS"
UNKNOWN_MECHANISM = b"504 5.5.4 mechanism not known here"
BAD_BASE64 = b"501 5.5.2 not base64"
BAD_CREDENTIALS = b"501 5.5.2 not what the mechanism asks for"
NOT_YOUR_ADDRESS = b"550 5.7.1 this sender address is not yours"
