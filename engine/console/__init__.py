"""The live console: one page of the server's own, what it shows each second, and who may see it."""
