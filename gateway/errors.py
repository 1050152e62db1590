"""The errors this program raises on purpose, and the exit codes they end a command with.

What a peer answers is a value (`gateway.mail.outcome`); these are for what should not happen, or for what an
operator must be told. The text of each says where, what was expected, what came.
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit codes of every command: those of BSD's sysexits.h."""

    OK = 0
    USAGE = 64
    DATA = 65
    NO_INPUT = 66  # no such ID, no such file
    UNAVAILABLE = 69  # the gateway is not running
    SOFTWARE = 70
    CANT_CREATE = 73
    TEMP_FAIL = 75  # not now
    NO_PERM = 77
    CONFIG = 78


class GatewayError(Exception):
    """Any error of ours. `exit_code` is what a command that ends with it returns."""

    exit_code = Exit.SOFTWARE


class UsageError(GatewayError):
    """The command's words are wrong."""

    exit_code = Exit.USAGE


class ConfigurationError(GatewayError):
    """A file of the configuration cannot be used; the text lists all its mistakes, one paragraph each."""

    exit_code = Exit.CONFIG


class NoSuchItem(GatewayError):
    """No message has this ID (any more)."""

    exit_code = Exit.NO_INPUT


class NotRunning(GatewayError):
    """The gateway does not answer on its control socket."""

    exit_code = Exit.UNAVAILABLE


class NotNow(GatewayError):
    """Nothing is wrong, but it cannot be done at this moment; the text says why."""

    exit_code = Exit.TEMP_FAIL


class SpoolError(GatewayError):
    """The disk did not do what was asked. What was accepted before stays; the client gets 451."""

    exit_code = Exit.CANT_CREATE


class SpoolFull(SpoolError):
    """No room: disk below the reserve, out of space or out of inodes. The client gets 452."""


class SpoolLocked(SpoolError):
    """Another gateway holds this spool."""

    exit_code = Exit.TEMP_FAIL


class ContentDamaged(SpoolError):
    """The content on disk is not what was accepted (length or SHA-256 differ)."""
