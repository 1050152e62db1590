"""What fronts may see and may ask for: shapes, filters, and the JSON lines over `SPOOL/control.sock`."""
