"""The web console: what an operator may see and ask for, in a browser. Loaded only where gateway.yaml has `console`."""
