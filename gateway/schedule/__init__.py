"""When mail may leave: the arithmetic of windows, what wakes the gateway at their edges, and how both are shown."""
