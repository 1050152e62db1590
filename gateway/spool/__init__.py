"""Mail on disk: the only package that writes below SPOOL. See `gateway/README.md` for every file and every crash."""
