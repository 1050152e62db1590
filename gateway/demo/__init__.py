"""`tidegate demo`: the real gateway with a simulated line and relay, to look at (DESIGN section 1)."""
