"""The operator's desk: answers what `control` may be asked, from the parts that know. Decides nothing of its own."""
