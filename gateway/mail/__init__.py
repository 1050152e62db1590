"""The words of mail: addresses, envelope, replies, outcomes. Plain values; no I/O."""
