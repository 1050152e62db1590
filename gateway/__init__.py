"""Tidegate: a store-and-forward mail gateway for lines that come and go. `gateway/README.md` is the map."""

__version__ = "0.1.0"
