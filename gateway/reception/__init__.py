"""The door: takes mail over SMTP and hands it to the spool (RFC 5321 and its extensions)."""
