"""The line: what the kernel, probes and real sessions say of it, and the mode that follows."""
