"""The command line: words in, answers out. What it shows comes from `control`; it decides nothing."""
