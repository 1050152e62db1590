"""Which message leaves when, over which link and through which relay: decided, explained, and done."""
