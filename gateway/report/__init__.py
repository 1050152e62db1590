"""Tells senders what became of their mail: delivery status notifications (RFC 3464).

Makes the octets and says who wants them; that a report is new mail, stored before the old is let go, is the caller's.
"""

from gateway.report.dsn import Kind, build_report, may_report, wanted
from gateway.report.joint import Original, build_joint_report, may_share

__all__ = ["Kind", "Original", "build_joint_report", "build_report", "may_report", "may_share", "wanted"]
